"""Who may call what: every route with its callers, and a body for each that needs one."""

from dataclasses import dataclass
from typing import Any

from auth_service.core.http.edge import STREAM_PATHS
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, unique

ACTORS = ("anonymous", "viewer", "moderator", "content-manager", "admin", "superuser", "service")
# One status for each actor, in the order of ACTORS. Where a call is let in, its arguments are such that nothing
# that others need is changed: what does not exist (404), what is built in (409), or something of the caller's own.
EVERYONE = "{0} {0} {0} {0} {0} {0} {0}"
USERS = "401 {0} {0} {0} {0} {0} 401"
CALLERS = "401 {0} {0} {0} {0} {0} 403"
ADMINS = "401 403 403 403 {0} {0} 403"
READERS = "401 403 {0} 403 {0} {0} 403"  # moderators too
AUTHZEN = ("evaluation", "evaluations", "search/subject", "search/resource", "search/action")  # about another
TABLE: dict[tuple[str, str], str] = {
    ("GET", "/health/live"): EVERYONE.format(200),
    ("GET", "/health/ready"): EVERYONE.format(200),
    ("GET", "/.well-known/jwks.json"): EVERYONE.format(200),
    ("GET", "/.well-known/authzen-configuration"): EVERYONE.format(200),
    **{("POST", f"/access/v1/{path}"): "401 403 403 403 200 200 200" for path in AUTHZEN},
    ("GET", "/.well-known/oauth-authorization-server"): EVERYONE.format(200),
    ("POST", f"{V1}/auth/register"): EVERYONE.format(201),
    ("POST", f"{V1}/auth/login"): EVERYONE.format(200),
    ("POST", f"{V1}/auth/refresh"): EVERYONE.format(200),
    ("POST", f"{V1}/auth/logout"): EVERYONE.format(204),
    ("POST", f"{V1}/auth/token"): EVERYONE.format(401),  # with a wrong secret
    ("POST", f"{V1}/auth/introspect"): ADMINS.format(200),
    ("POST", f"{V1}/auth/revoke"): EVERYONE.format(200),  # of junk
    ("POST", f"{V1}/auth/logout-others"): USERS.format(204),
    ("POST", f"{V1}/auth/logout-all"): USERS.format(204),
    ("GET", f"{V1}/users/me"): USERS.format(200),
    ("PATCH", f"{V1}/users/me"): USERS.format(200),
    ("DELETE", f"{V1}/users/me"): USERS.format(403),  # with a wrong password
    ("POST", f"{V1}/users/me/delete"): USERS.format(403),
    ("POST", f"{V1}/users/me/password"): USERS.format(204),
    ("POST", f"{V1}/users/me/login"): USERS.format(200),
    ("GET", f"{V1}/users/me/login-history"): USERS.format(200),
    ("GET", f"{V1}/admin/users/{{user_id}}/login-history"): ADMINS.format(200),
    ("GET", f"{V1}/admin/events"): ADMINS.format(200),
    ("POST", f"{V1}/permissions/check"): CALLERS.format(200),  # without user_id: about oneself
    ("POST", f"{V1}/permissions/check/batch"): CALLERS.format(200),
    ("POST", f"{V1}/permissions/check of another"): "401 403 403 403 200 200 200",
    ("POST", f"{V1}/permissions/check/batch of another"): "401 403 403 403 200 200 200",
    ("GET", f"{V1}/changes"): ADMINS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/permissions"): ADMINS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/permissions of oneself"): CALLERS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/permissions/{{code}}"): ADMINS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/permissions/{{code}} of oneself"): CALLERS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/roles"): ADMINS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/roles of oneself"): CALLERS.format(200),
    ("PUT", f"{V1}/users/{{user_id}}/roles/{{name}}"): ADMINS.format(404),
    ("DELETE", f"{V1}/users/{{user_id}}/roles/{{name}}"): ADMINS.format(404),
    ("GET", f"{V1}/grants/jobs"): ADMINS.format(200),
    ("POST", f"{V1}/grants/jobs"): ADMINS.format(404),
    ("GET", f"{V1}/grants/jobs/{{job_id}}"): ADMINS.format(404),
    ("GET", f"{V1}/grants/jobs/{{job_id}}/rows"): ADMINS.format(404),
    ("POST", f"{V1}/grants/jobs/{{job_id}}/cancel"): ADMINS.format(404),
    ("GET", f"{V1}/permissions"): ADMINS.format(200),
    ("POST", f"{V1}/permissions"): ADMINS.format(409),
    ("GET", f"{V1}/permissions/{{code}}"): ADMINS.format(200),
    ("PATCH", f"{V1}/permissions/{{code}}"): ADMINS.format(200),
    ("DELETE", f"{V1}/permissions/{{code}}"): ADMINS.format(409),
    ("GET", f"{V1}/roles"): ADMINS.format(200),
    ("POST", f"{V1}/roles"): ADMINS.format(409),
    ("GET", f"{V1}/roles/{{name}}"): ADMINS.format(404),
    ("PATCH", f"{V1}/roles/{{name}}"): ADMINS.format(404),
    ("DELETE", f"{V1}/roles/{{name}}"): ADMINS.format(404),
    ("POST", f"{V1}/auth/login/mfa"): EVERYONE.format(401),  # with a challenge that nobody gave
    ("GET", f"{V1}/mfa"): USERS.format(200),
    ("POST", f"{V1}/mfa/totp"): USERS.format(403),  # with a wrong password, here and below
    ("POST", f"{V1}/mfa/totp/confirm"): USERS.format(409),  # of nothing that was started
    ("DELETE", f"{V1}/mfa/totp"): USERS.format(403),
    ("POST", f"{V1}/mfa/totp/disable"): USERS.format(403),
    ("POST", f"{V1}/mfa/recovery-codes"): USERS.format(403),
    ("POST", f"{V1}/admin/users/{{user_id}}/reset-mfa"): ADMINS.format(409),  # of nothing that is set up
    ("POST", f"{V1}/auth/password/forgot"): EVERYONE.format(202),
    ("POST", f"{V1}/auth/password/reset"): EVERYONE.format(401),  # with a token that nobody mailed, here and below
    ("POST", f"{V1}/auth/email/confirm"): EVERYONE.format(401),
    ("POST", f"{V1}/users/me/email/verify"): USERS.format(202),
    ("POST", f"{V1}/users/me/email"): USERS.format(403),  # with a wrong password
    ("DELETE", f"{V1}/users/me/email"): USERS.format(204),
    ("GET", f"{V1}/users/me/export"): USERS.format(200),
    ("POST", f"{V1}/admin/users/{{user_id}}/send-password-reset"): ADMINS.format(202),
    ("GET", f"{V1}/auth/csrf"): USERS.format(200),
    ("GET", f"{V1}/auth/verify"): "401 200 200 200 200 200 200",  # without a permission: who is calling
    ("POST", f"{V1}/auth/step-up"): USERS.format(403),  # with a wrong password
    ("GET", f"{V1}/users/me/sessions"): USERS.format(200),
    ("DELETE", f"{V1}/users/me/sessions/{{session_id}}"): USERS.format(404),
    ("GET", f"{V1}/users/me/devices"): USERS.format(200),
    ("PATCH", f"{V1}/users/me/devices/{{device_id}}"): USERS.format(404),
    ("DELETE", f"{V1}/users/me/devices/{{device_id}}"): USERS.format(404),
    ("GET", f"{V1}/admin/users/{{user_id}}/sessions"): ADMINS.format(200),
    ("DELETE", f"{V1}/admin/users/{{user_id}}/sessions/{{session_id}}"): ADMINS.format(404),
    ("POST", f"{V1}/admin/users/{{user_id}}/logout-all"): ADMINS.format(204),
    ("POST", f"{V1}/admin/users/{{user_id}}/unlock"): ADMINS.format(204),
    ("GET", f"{V1}/admin/users"): READERS.format(200),
    ("POST", f"{V1}/admin/users"): ADMINS.format(409),
    ("GET", f"{V1}/admin/users/{{user_id}}"): READERS.format(200),
    ("PATCH", f"{V1}/admin/users/{{user_id}}"): ADMINS.format(200),
    ("DELETE", f"{V1}/admin/users/{{user_id}} of nobody"): ADMINS.format(404),
    ("POST", f"{V1}/admin/users/{{user_id}}/delete of nobody"): ADMINS.format(404),
    ("GET", f"{V1}/permissions/{{code}}/users"): ADMINS.format(200),
    ("GET", f"{V1}/grants"): ADMINS.format(200),
    ("GET", f"{V1}/admin/audit"): ADMINS.format(200),
    ("GET", f"{V1}/admin/audit/{{row}}/people"): ADMINS.format(404),
    ("GET", f"{V1}/services"): ADMINS.format(200),
    ("POST", f"{V1}/services"): ADMINS.format(201),
    ("POST", f"{V1}/services/{{service_id}}/secrets"): ADMINS.format(404),
    ("DELETE", f"{V1}/services/{{service_id}}"): ADMINS.format(404),
    ("GET", f"{V1}/admin/webhooks"): ADMINS.format(200),
    ("POST", f"{V1}/admin/webhooks"): ADMINS.format(422),  # to an address inside
    ("GET", f"{V1}/admin/webhooks/{{webhook_id}}"): ADMINS.format(404),
    ("PATCH", f"{V1}/admin/webhooks/{{webhook_id}}"): ADMINS.format(404),
    ("DELETE", f"{V1}/admin/webhooks/{{webhook_id}}"): ADMINS.format(404),
    ("POST", f"{V1}/admin/webhooks/{{webhook_id}}/secrets"): ADMINS.format(404),
    ("POST", f"{V1}/admin/webhooks/{{webhook_id}}/test"): ADMINS.format(404),
    ("GET", f"{V1}/admin/webhooks/{{webhook_id}}/deliveries"): ADMINS.format(404),
}
# Answers that go on for as long as somebody listens: their HEAD says the same, and ends.
STREAMS = STREAM_PATHS
NOBODY = "01980000-0000-7000-8000-000000000000"
PATHS = {
    "code": "films:read",
    "name": "unheard-of",
    "service_id": NOBODY,
    "session_id": NOBODY,
    "device_id": NOBODY,
    "webhook_id": NOBODY,
    "row": "999999999",
    "job_id": NOBODY,
}


@dataclass(frozen=True)
class Actor:
    """`account` for users; `headers` authorise them and services."""

    headers: dict[str, str]
    account: Account | None = None
    tokens: Tokens | None = None


def plain(path: str) -> str:
    """Without the remark that tells two rows of one route apart."""
    return path.partition(" ")[0]


async def body_for(api: Api, method: str, path: str, actor: Actor, other: Account) -> dict[str, Any] | None:
    route = path.removeprefix(V1)
    may_read = {"action": {"name": "read"}, "resource": {"type": "films", "id": "1"}}
    fixed: dict[tuple[str, str], dict[str, Any]] = {
        ("POST", "/auth/login"): {"login": other.login, "password": PASSWORD},
        ("POST", "/auth/token"): {"grant_type": "client_credentials", "client_id": NOBODY, "client_secret": "wrong"},
        ("POST", "/auth/introspect"): {"token": "junk"},
        ("POST", "/auth/revoke"): {"token": "junk"},
        ("POST", "/auth/logout"): {},
        ("POST", "/auth/login/mfa"): {"challenge": "junk", "code": "000000"},
        ("POST", "/mfa/totp"): {"current_password": "not the password"},
        ("POST", "/mfa/totp/confirm"): {"code": "000000"},
        ("DELETE", "/mfa/totp"): {"current_password": "not the password", "code": "000000"},
        ("POST", "/mfa/totp/disable"): {"current_password": "not the password", "code": "000000"},
        ("POST", "/mfa/recovery-codes"): {"current_password": "not the password", "code": "000000"},
        ("POST", "/admin/users/{user_id}/reset-mfa"): {"reason": "lost the phone"},
        ("POST", "/auth/password/forgot"): {"email": other.email},
        ("POST", "/auth/password/reset"): {"token": "junk", "new_password": PASSWORD + "2"},
        ("POST", "/auth/email/confirm"): {"token": "junk"},
        ("POST", "/users/me/email"): {"email": "new@example.com", "current_password": "not the password"},
        ("POST", "/auth/step-up"): {"current_password": "not the password"},
        ("PATCH", "/users/me/devices/{device_id}"): {"name": "Kitchen"},
        ("POST", "/admin/users"): {"login": other.login, "email": other.email},
        ("PATCH", "/admin/users/{user_id}"): {"full_name": "Someone"},
        ("DELETE", "/admin/users/{user_id} of nobody"): {"reason": "asked for it"},
        ("POST", "/admin/users/{user_id}/delete of nobody"): {"reason": "asked for it"},
        ("PATCH", "/users/me"): {"full_name": "Someone"},
        ("DELETE", "/users/me"): {"current_password": "not the password"},
        ("POST", "/users/me/delete"): {"current_password": "not the password"},
        ("POST", "/users/me/password"): {"current_password": PASSWORD, "new_password": PASSWORD + "2"},
        ("POST", "/users/me/login"): {"current_password": PASSWORD, "login": unique("renamed")},
        ("POST", "/permissions/check"): {"permission": "films:read"},
        ("POST", "/permissions/check/batch"): {"checks": [{"permission": "films:read"}]},
        ("POST", "/permissions"): {"code": "films:read", "title": "x"},
        ("PATCH", "/permissions/{code}"): {"title": "See films and their pages"},
        ("POST", "/roles"): {"name": "guest", "title": "x"},
        ("PATCH", "/roles/{name}"): {"title": "x"},
        ("PUT", "/users/{user_id}/roles/{name}"): {},
        ("POST", "/grants/jobs"): {"role": "unheard-of", "users": [NOBODY]},
        ("POST", "/services"): {"name": unique("service")},
        ("POST", "/services/{service_id}/secrets"): {},
        ("POST", "/admin/webhooks"): {"url": "https://127.0.0.1/"},
        ("PATCH", "/admin/webhooks/{webhook_id}"): {"description": "x"},
        **{
            ("POST", f"/access/v1/{name}"): {"subject": {"type": "user", "id": str(other.id)}, **may_read}
            for name in AUTHZEN
        },
    }
    if (method, route) in fixed:
        return fixed[method, route]
    if route == "/auth/register":
        login = unique("new")
        return {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    if route == "/auth/refresh":
        return {"refresh_token": (actor.tokens or await api.log_in(other)).refresh}
    about_other = {"permission": "films:read", "user_id": str(other.id)}
    if route.endswith("check of another"):
        return about_other
    if route.endswith("batch of another"):
        return {"checks": [about_other]}
    return None


# These end the caller's session, change its account, or ask for a login of the last minutes.
ONCE = {
    "/auth/refresh",
    "/auth/logout",
    "/auth/logout-others",
    "/auth/logout-all",
    "/users/me/password",
    "/users/me/sessions/{session_id}",
    "/users/me/devices/{device_id}",
}
