"""Requests and answers in OAuth's words."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from auth_service.core.schemas import NOT_NULL, Answer

Parameter = Annotated[str | None, NOT_NULL]
ENDPOINT = {"format": "uri"}


class OAuthRequest(BaseModel):
    """RFC 6749 section 3.2: unknown parameters are ignored. Id and secret of a client here or by HTTP Basic."""

    model_config = ConfigDict(
        extra="ignore", hide_input_in_errors=True, json_schema_extra={"additionalProperties": {"type": "string"}}
    )

    client_id: Parameter = None
    client_secret: Parameter = None


class TokenRequest(OAuthRequest):
    """RFC 6749 section 4.4.2. `scope`: words between spaces; none: all that the account has."""

    grant_type: Literal["client_credentials"]
    scope: Parameter = None


class AboutToken(OAuthRequest):
    """RFC 7662 section 2.1 and RFC 7009 section 2.1. The hint is not needed: tokens tell their type by their form."""

    token: Annotated[str, Field(min_length=1)]
    token_type_hint: Parameter = None


class ServiceTokenAnswer(Answer):
    """RFC 6749 section 4.4.3: no refresh token."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    scope: str


class IntrospectionAnswer(Answer):
    """RFC 7662 section 2.2; times are Unix seconds. Without `active` there is nothing else.

    `token_type` is `N_A` for a refresh token (RFC 8693 section 2.2.1), which opens nothing and has no `jti` and `aud`.
    `username` is a user's login; `client_id` and `scope` are a service's.
    """

    active: bool
    scope: Parameter = None
    client_id: Annotated[UUID | None, NOT_NULL] = None
    username: Parameter = None
    token_type: Annotated[Literal["Bearer", "N_A"] | None, NOT_NULL] = None
    exp: Annotated[int | None, NOT_NULL] = None
    iat: Annotated[int | None, NOT_NULL] = None
    sub: Annotated[UUID | None, NOT_NULL] = None
    aud: Parameter = None
    iss: Parameter = None
    jti: Parameter = None
    sid: Annotated[UUID | None, NOT_NULL] = None


class ServerMetadata(Answer):
    """RFC 8414 section 2."""

    issuer: str
    token_endpoint: Annotated[str, Field(json_schema_extra=ENDPOINT)]
    jwks_uri: Annotated[str, Field(json_schema_extra=ENDPOINT)]
    introspection_endpoint: Annotated[str, Field(json_schema_extra=ENDPOINT)]
    revocation_endpoint: Annotated[str, Field(json_schema_extra=ENDPOINT)]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
