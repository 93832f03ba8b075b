"""RFC 8414: what stands there is true."""

from urllib.parse import urlsplit

from fastapi import FastAPI

from tests.conftest import Fresh
from tests.support.api import Api

WELL_KNOWN = "/.well-known/oauth-authorization-server"


async def test_every_endpoint_is_there_and_takes_what_it_is_said_to_take(api: Api, app: FastAPI) -> None:
    answer = await api.http.get(WELL_KNOWN)
    assert answer.status_code == 200
    keys = await api.http.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == keys.headers["cache-control"] == "public, max-age=300"
    told = answer.json()
    assert told["issuer"] == api.resources.settings.issuer
    paths = app.openapi()["paths"]
    endpoints = {name: urlsplit(value) for name, value in told.items() if name.endswith(("_endpoint", "_uri"))}
    assert endpoints.keys() == {"token_endpoint", "jwks_uri", "introspection_endpoint", "revocation_endpoint"}
    for name, url in endpoints.items():
        assert f"{url.scheme}://{url.netloc}" == told["issuer"]
        assert ("get" if name == "jwks_uri" else "post") in paths[url.path]
    _, admin = await api.as_role("admin")
    client_id, secret = await api.create_service(admin, ["tokens:introspect"])
    ways = {
        "client_secret_basic": ({"auth": (client_id, secret)}, {}),
        "client_secret_post": ({}, {"client_id": client_id, "client_secret": secret}),
        "Bearer": ({"headers": await api.service_token(client_id, secret)}, {}),
        "none": ({}, {}),
    }
    for endpoint in ("token", "introspection", "revocation"):
        asked = {"grant_type": "client_credentials"} if endpoint == "token" else {"token": "junk"}
        taken = set()
        for way, (how, more) in ways.items():
            url = endpoints[f"{endpoint}_endpoint"].path
            if (await api.http.post(url, data=asked | more, **how)).status_code == 200:  # type: ignore[arg-type]
                taken.add(way)
        taken -= {"Bearer"} if endpoint == "revocation" else set()  # which is not looked at there
        assert taken == set(told[f"{endpoint}_endpoint_auth_methods_supported"])
    assert (told["response_types_supported"], told["grant_types_supported"]) == ([], ["client_credentials"])


async def test_the_path_of_the_issuer_comes_last(fresh: Fresh) -> None:
    """Section 3.1; the endpoints are below the issuer, and section 3.3 wants it to the letter."""
    issuer = "https://cinema.example/a/b/"
    api = await fresh.api(issuer=issuer)
    for path in (f"{WELL_KNOWN}/a/b", f"/a/b{WELL_KNOWN}"):
        told = (await api.http.get(path)).json()
        assert told["issuer"] == issuer
        assert told["jwks_uri"] == "https://cinema.example/a/b/.well-known/jwks.json"
