"""Where things are and what they take, for clients that set themselves up: RFC 8414."""

from auth_service.core.http.oauth_paths import INTROSPECTION_PATH, REVOCATION_PATH, TOKEN_PATH
from auth_service.standards.oauth.schemas import ServerMetadata

PATH = "/.well-known/oauth-authorization-server"  # behind which core.http.path_prefix knows the issuer's path too
SECRETS = ["client_secret_basic", "client_secret_post"]


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
