"""One call of each kind with the client that openapi-python-client made as `auth_client`; prints what came of them."""

import json
import os
from http import HTTPStatus
from uuid import UUID

from auth_client import AuthenticatedClient, Client
from auth_client.api.administration import list_users
from auth_client.api.auth import log_in, log_out
from auth_client.api.oauth import introspect_token, issue_service_token, revoke_token
from auth_client.api.permissions import check_permission, check_permissions
from auth_client.api.roles import list_roles
from auth_client.models import (
    AboutToken,
    AccountsAnswer,
    BatchAnswer,
    BatchBody,
    CheckAnswer,
    CheckBody,
    ErrorAnswer,
    IntrospectionAnswer,
    LoginBody,
    OneCheck,
    Reason,
    ServiceTokenAnswer,
    TokenRequest,
    TokensAnswer,
)
from auth_client.types import UNSET, Unset

BASE, USER = os.environ["BASE"], UUID(os.environ["USER_ID"])
anybody = Client(base_url=BASE, raise_on_unexpected_status=True)


def bearer(token: str) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=BASE, token=token, raise_on_unexpected_status=True)


tokens = log_in.sync(client=anybody, body=LoginBody(os.environ["LOGIN"], os.environ["PASSWORD"]))
assert isinstance(tokens, TokensAnswer)
admin = bearer(tokens.access_token)

credentials = {"client_id": os.environ["CLIENT_ID"], "client_secret": os.environ["CLIENT_SECRET"]}
granted = issue_service_token.sync(client=anybody, body=TokenRequest("client_credentials", **credentials))
assert isinstance(granted, ServiceTokenAnswer)
service = bearer(granted.access_token)

check = check_permission.sync(client=service, body=CheckBody("films:read", user_id=USER))
assert isinstance(check, CheckAnswer)
assert (check.reason, check.valid_until) == (Reason.GRANTED, UNSET)

codes = ("films:read", "users:delete", "unheard:of")
batch = check_permissions.sync(client=service, body=BatchBody([OneCheck(code, user_id=USER) for code in codes]))
assert isinstance(batch, BatchAnswer)

roles = list_roles.sync(client=admin)
assert isinstance(roles, list)

pages, cursor = 0, UNSET
found: list[str] = []
while pages == 0 or not isinstance(cursor, Unset | None):
    page = list_users.sync(client=admin, role="moderator", limit=2, cursor=cursor)
    assert isinstance(page, AccountsAnswer)
    found += [user.login for user in page.items]
    pages, cursor = pages + 1, page.next_cursor

refused = log_in.sync(client=anybody, body=LoginBody(os.environ["LOGIN"], "a wrong password"))
assert isinstance(refused, ErrorAnswer)
forbidden = check_permission.sync_detailed(client=service, body=CheckBody("films:read"))
assert isinstance(forbidden.parsed, ErrorAnswer)

live = introspect_token.sync(client=service, body=AboutToken(tokens.refresh_token))
assert isinstance(live, IntrospectionAnswer)
left = log_out.sync_detailed(client=admin)
assert left.status_code is HTTPStatus.NO_CONTENT
assert revoke_token.sync_detailed(client=anybody, body=AboutToken(tokens.refresh_token)).status_code is HTTPStatus.OK
dead = introspect_token.sync(client=service, body=AboutToken(tokens.refresh_token))

print(
    json.dumps(
        {
            "scope": granted.scope,
            "allowed": check.allowed,
            "batch": [answer.reason.value for answer in batch.results],
            "roles": "moderator" in [role.name for role in roles],
            "pages": pages,
            "moderators": len(set(found)),
            "refused": refused.error,
            "forbidden": [forbidden.status_code, forbidden.parsed.error],
            "live": [live.active, live.token_type.value],
            "left": left.status_code,
            "dead": dead.to_dict(),
        }
    )
)
