"""What JSON Schema cannot say: fields that fit the document and are refused all the same, with the reason for each.

Only `positive_data_acceptance` is left out, and only for a 422 that names none but these fields; and what does not fit
and is taken, only for a null in the place of nothing. Below
/access/v1 it is a 400, whose code may stand in place of a field.
"""

from typing import Any

CATALOGUE = "names what must exist, in the catalogue of this deployment"
ORDER = "one moment must not lie after the other"
ALL = "a file has no page"
INSIDE = "an address inside is refused, and what is inside is for the deployment to say"
EITHER = "the token may also come in a cookie: one of the two is needed"
DIGITS = "a number of more than 20 digits, in a field that is ignored"
EVALUATIONS, SEARCHES = ("evaluation", "evaluations"), ("subject", "resource", "action")

EITHER_OR_BOTH = "one of them must not be null; generators make nothing good of an anyOf of required fields"
CHANGES = "a reason alone changes nothing"

CURSOR = "one that we gave, and only with dry_run"
TRIED = (
    *("POST /api/v1/roles", "PATCH /api/v1/roles/{name}", "DELETE /api/v1/roles/{name}"),
    *("POST /api/v1/permissions", "PATCH /api/v1/permissions/{code}", "DELETE /api/v1/permissions/{code}"),
    *("PUT /api/v1/users/{user_id}/roles/{name}", "DELETE /api/v1/users/{user_id}/roles/{name}"),
)

UNSAYABLE: dict[tuple[str, str], str] = {
    ("POST /api/v1/auth/refresh", "body.refresh_token"): EITHER,
    ("POST /api/v1/auth/step-up", "body"): EITHER_OR_BOTH,
    ("PATCH /api/v1/admin/users/{user_id}", "body"): CHANGES,
    ("GET /api/v1/users/me/login-history", "query"): f"{ORDER}; a reason is for failures only",
    ("GET /api/v1/admin/users/{user_id}/login-history", "query"): f"{ORDER}; a reason is for failures only",
    ("GET /api/v1/admin/audit", "query"): ORDER,
    ("GET /api/v1/admin/users", "query"): ORDER,
    ("GET /api/v1/grants", "query"): f"{ORDER}; {ALL}",
    ("GET /api/v1/grants", "query.cursor"): "one that we gave",
    ("GET /api/v1/admin/audit/{row}/people", "query.cursor"): "one that we gave",
    ("GET /api/v1/permissions/{code}/users", "query"): ALL,
    ("GET /api/v1/permissions/{code}/users", "query.at"): "a moment that has not passed",
    ("PUT /api/v1/users/{user_id}/roles/{name}", "body"): "valid_until must lie ahead, and after valid_from",
    (
        "POST /api/v1/grants/jobs",
        "body",
    ): "users or a filter, and dates for a grant, which lie ahead and in their order",
    ("POST /api/v1/grants/jobs", "body.filter"): f"{ORDER}; all null says nothing",
    ("POST /api/v1/services/{service_id}/secrets", "body"): "expires_at must lie ahead",
    ("POST /api/v1/roles", "body"): f"permissions and parents: {CATALOGUE}",
    ("PATCH /api/v1/roles/{name}", "body"): f"permissions and parents: {CATALOGUE}",
    **{(label, field): CURSOR for label in TRIED for field in ("query", "query.cursor")},
    ("POST /api/v1/admin/webhooks", "body.url"): INSIDE,
    ("PATCH /api/v1/admin/webhooks/{webhook_id}", "body.url"): INSIDE,
    ("POST /api/v1/services", "body"): f"scopes: {CATALOGUE}",
    ("POST /access/v1/evaluations", "body"): "without items it has what one evaluation has",
    **{(f"POST /access/v1/search/{kind}", "body.page.token"): "one that we gave" for kind in SEARCHES},
    **{
        (f"POST /access/v1/{path}", "invalid_json"): DIGITS
        for path in (*EVALUATIONS, *(f"search/{k}" for k in SEARCHES))
    },
}
# The document calls these what they are worth saying, and so null is none of it: generated clients would send it.
NULL_IS_NO_BODY = {
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/services/{service_id}/secrets",
    "PUT /api/v1/users/{user_id}/roles/{name}",
}
# RFC 6749 section 3.2: a parameter without a value, which null is in a form, counts as left out.
FORMS = {f"POST /api/v1/auth/{name}" for name in ("token", "introspect", "revoke")}


def is_left_out(label: str, body: Any) -> bool:
    """Whether a null stands where nothing need be."""
    if body is None:
        return label in NULL_IS_NO_BODY
    return label in FORMS and isinstance(body, dict) and None in body.values()
