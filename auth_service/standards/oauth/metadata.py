"""Where things are and what they take, for clients that set themselves up: RFC 8414."""

from urllib.parse import urlsplit

from auth_service.core.http.oauth_paths import INTROSPECTION_PATH, REVOCATION_PATH, TOKEN_PATH
from auth_service.standards.oauth.schemas import ServerMetadata

SECRETS = ["client_secret_basic", "client_secret_post"]


def metadata_path(issuer: str) -> str:
    """RFC 8414 section 3: the path of the issuer comes last, without its slash at the end."""
    return f"/.well-known/oauth-authorization-server{urlsplit(issuer).path.rstrip('/')}"


def metadata_of(issuer: str) -> ServerMetadata:
    base = issuer.rstrip("/")
    return ServerMetadata(
        issuer=issuer,
        token_endpoint=f"{base}{TOKEN_PATH}",
        jwks_uri=f"{base}/.well-known/jwks.json",
        introspection_endpoint=f"{base}{INTROSPECTION_PATH}",
        revocation_endpoint=f"{base}{REVOCATION_PATH}",
        response_types_supported=[],  # there is no authorization endpoint
        grant_types_supported=["client_credentials"],
        token_endpoint_auth_methods_supported=SECRETS,
        introspection_endpoint_auth_methods_supported=[*SECRETS, "Bearer"],
        revocation_endpoint_auth_methods_supported=[*SECRETS, "none"],
    )
