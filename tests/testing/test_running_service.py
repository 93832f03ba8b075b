"""What another service's tests start: the real one, without a container."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from auth_service_client import Denied, SyncAuthClient

from auth_service.testing import running_service

pytestmark = pytest.mark.long


def test_a_real_service_for_the_tests_of_another() -> None:
    with running_service() as service:
        account = service.create_account()
        user = service.create_user(service.create_role("kiosk:open", "seats:book", "seats:*"))
        arguments = {"client_id": account.client_id, "client_secret": account.client_secret, "issuer": service.issuer}
        with SyncAuthClient(service.base_url, **arguments, local=True) as client:
            client.ready()
            token = service.log_in(user)
            assert client.authorize(token, "kiosk:open").id == user.id
            assert client.check(user.id, "films:read"), "as every user may"
            ends = datetime.now(UTC) + timedelta(hours=1)
            service.grant(user.id, service.create_role("seats:book"), until=ends)
            other = service.create_user()
            service.grant(other.id, service.create_role("seats:book"), until=ends)
            assert client.check(other.id, "seats:book").valid_until == ends
            service.deactivate(other.id)
            with pytest.raises(Denied, match="scope"):
                client.authorize(client_token(service.base_url, account), "kiosk:open")
        with pytest.raises(httpx.HTTPStatusError):
            service.revoke(user.id, "unheard-of")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{service.base_url}/health/live", trust_env=False)


def client_token(base_url: str, account: object) -> str:
    credentials = (account.client_id, account.client_secret)  # type: ignore[attr-defined]
    form = {"grant_type": "client_credentials"}
    answer = httpx.post(f"{base_url}/api/v1/auth/token", auth=credentials, data=form, trust_env=False)
    return str(answer.json()["access_token"])
