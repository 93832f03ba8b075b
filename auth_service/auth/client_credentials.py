"""Tokens for service accounts: RFC 6749 section 4.4, by form as the RFC has it, or by JSON like the rest of the API."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import orjson
from pydantic import ValidationError
from starlette.datastructures import Headers

from auth_service.auth.schemas import ServiceTokenAnswer, TokenRequestBody
from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidClient, InvalidScope, InvalidTokenRequest, UnsupportedGrant
from auth_service.permissions.patterns import covers, is_pattern
from auth_service.service_accounts.service import authenticate_service


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """`scope` None: all that the account has."""

    client_id: str
    client_secret: str
    scope: tuple[str, ...] | None


def read_request(headers: Headers, body: bytes) -> TokenRequest:
    """Raises UnsupportedGrant, InvalidClient or InvalidTokenRequest."""
    fields = _read_form(body) if "form" in headers.get("content-type", "") else _read_json(body)
    if isinstance(fields.get("grant_type"), str) and fields["grant_type"] != "client_credentials":
        raise UnsupportedGrant
    if None in fields.values():
        raise InvalidTokenRequest  # null is no text, and no scope must not come to mean every scope
    try:
        asked = TokenRequestBody.model_validate(fields)
    except ValidationError:
        raise InvalidTokenRequest from None
    basic = _read_basic(headers.get("authorization"))
    if basic is not None and fields.keys() & {"client_id", "client_secret"}:
        raise InvalidClient("Give the client id and secret once: in the header or in the body.")
    client_id, client_secret = basic or (asked.client_id or "", asked.client_secret or "")
    scope = None if asked.scope is None else tuple(asked.scope.split())
    return TokenRequest(client_id, client_secret, scope)


async def issue(resources: Resources, asked: TokenRequest) -> ServiceTokenAnswer:
    """A token of at most 15 minutes (CHK-1) with the asked scopes; the account's id stands for its session."""
    account = await authenticate_service(resources, asked.client_id, asked.client_secret)
    scopes = tuple(account.scopes) if asked.scope is None else tuple(dict.fromkeys(asked.scope))
    if not all(is_pattern(scope) and covers(account.scopes, scope) for scope in scopes):
        raise InvalidScope
    await resources.keys.look_again()
    token = resources.keys.mint(subject=account.id, kind="service", session_id=account.id, epoch=0, scopes=scopes)
    return ServiceTokenAnswer(
        access_token=token, expires_in=resources.settings.access_token_seconds, scope=" ".join(scopes)
    )


def _read_form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise InvalidTokenRequest("The form cannot be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidTokenRequest  # RFC 6749 section 3.2
    return fields


def _read_json(body: bytes) -> dict[str, Any]:
    fields = orjson.loads(body or b"{}")  # the edge has refused what is not JSON
    if not isinstance(fields, dict):
        raise InvalidTokenRequest
    return fields


def _read_basic(header: str | None) -> tuple[str, str] | None:
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient
    try:
        client_id, separator, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient from None
    if not separator:
        raise InvalidClient
    return unquote_plus(client_id), unquote_plus(secret)  # RFC 6749 section 2.3.1
