"""Clients that others wrote, as they are, against the service over a socket: Authlib, oauthlib with requests."""

import asyncio
from dataclasses import dataclass

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError, InvalidScopeError, LegacyApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.conftest import Fresh
from tests.support.api import V1, Tokens
from tests.support.service_process import free_port


@dataclass
class Scene:
    """`asker` may introspect, `reader` may read roles: (client id, secret) each. `viewers`: sessions to be ended."""

    told: AuthorizationServerMetadata
    base: str
    asker: tuple[str, str]
    reader: tuple[str, str]
    viewers: list[Tokens]

    def status(self, token: str, path: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.base}{V1}{path}", headers=headers, timeout=20).status_code


async def test_standard_clients_work_as_they_are(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # or it speaks https alone
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    settings = await fresh.settings(issuer=issuer)
    api = await fresh.on(settings)
    _, admin = await api.as_role("admin")
    asker = await api.create_service(admin, ["tokens:introspect"])
    reader = await api.create_service(admin, ["roles:read", "films:read"])
    viewers = [(await api.as_role())[1] for _ in range(4)]
    await fresh.service(settings, port=port)
    told = await asyncio.to_thread(_discover, issuer)
    scene = Scene(told, issuer, asker, reader, viewers)
    for walk in (_walk_with_authlib, _walk_with_oauthlib):
        await asyncio.to_thread(walk, scene)


def _discover(issuer: str) -> AuthorizationServerMetadata:
    told = AuthorizationServerMetadata(requests.get(get_well_known_url(issuer, external=True), timeout=20).json())
    # Authlib wants the first three to be https, and that somebody may be sent to an authorization endpoint.
    for name in {*told.REGISTRY_KEYS} - {"issuer", "token_endpoint", "jwks_uri", "response_types_supported"}:
        getattr(told, f"validate_{name}")()
    assert told.issuer == issuer
    return told


def _walk_with_authlib(scene: Scene) -> None:
    told = scene.told
    for method in told.token_endpoint_auth_methods_supported:
        with AuthlibSession(*scene.reader, token_endpoint_auth_method=method) as session:
            token = session.fetch_token(told.token_endpoint, grant_type="client_credentials", scope="roles:read")
            assert (token["token_type"], token["scope"]) == ("Bearer", "roles:read")
            assert session.get(f"{scene.base}{V1}/roles", timeout=20).status_code == 200
            with AuthlibSession(*scene.asker, token_endpoint_auth_method=method) as asker:
                live = asker.introspect_token(told.introspection_endpoint, token["access_token"], "access_token")
                assert (live.json()["active"], live.json()["scope"]) == (True, "roles:read")
                assert session.revoke_token(told.revocation_endpoint, token["access_token"]).status_code == 200
                dead = asker.introspect_token(told.introspection_endpoint, token["access_token"])
                assert dead.json() == {"active": False}
    with AuthlibSession("an app", token_endpoint_auth_method="none", revocation_endpoint_auth_method="none") as app:
        for tokens, one, hint in (
            (scene.viewers[0], scene.viewers[0].access, "access_token"),
            (scene.viewers[1], scene.viewers[1].refresh, "refresh_token"),
        ):
            assert app.revoke_token(told.revocation_endpoint, one, hint).status_code == 200
            assert scene.status(tokens.access, "/users/me") == 401


def _walk_with_oauthlib(scene: Scene) -> None:
    told = scene.told
    client_id, secret = scene.reader
    with OAuth2Session(client=BackendApplicationClient(client_id=client_id)) as session:
        # Once by Basic, as it does by itself, and once with the secret in the body.
        token = session.fetch_token(told.token_endpoint, client_secret=secret)
        token = session.fetch_token(told.token_endpoint, client_secret=secret, include_client_id=True, audience="x")
        assert sorted(token.scopes) == ["films:read", "roles:read"]
        assert session.get(f"{scene.base}{V1}/roles", timeout=20).status_code == 200
        url, headers, body = session._client.prepare_token_revocation_request(
            told.revocation_endpoint, token["access_token"]
        )
        assert session.post(url, body, headers=headers, timeout=20).status_code == 401  # a bearer token is no secret
        by_basic = HTTPBasicAuth(client_id, secret)
        answer = session.post(url, body, headers=headers, auth=by_basic, withhold_token=True, timeout=20)
        assert answer.status_code == 200
        assert session.get(f"{scene.base}{V1}/roles", timeout=20).status_code == 401
        with pytest.raises(InvalidClientError, match="client secret is wrong"):
            session.fetch_token(told.token_endpoint, client_secret="wrong")
    with (
        OAuth2Session(client=BackendApplicationClient(client_id=client_id, scope=["users:read"])) as greedy,
        pytest.raises(InvalidScopeError, match="does not have every scope"),
    ):
        greedy.fetch_token(told.token_endpoint, client_secret=secret)
    viewers = LegacyApplicationClient(client_id="an app")
    for tokens, one, hint in (
        (scene.viewers[2], scene.viewers[2].access, "access_token"),
        (scene.viewers[3], scene.viewers[3].refresh, "refresh_token"),
    ):
        url, headers, body = viewers.prepare_token_revocation_request(told.revocation_endpoint, one, hint)
        assert requests.post(url, body, headers=headers, timeout=20).status_code == 200
        assert scene.status(tokens.access, "/users/me") == 401
