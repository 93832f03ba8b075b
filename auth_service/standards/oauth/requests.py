"""How requests to OAuth's endpoints are read: by form as the RFCs have it, or by JSON like the rest of the API."""

import base64
import binascii
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_plus

import orjson
from pydantic import ValidationError
from starlette.datastructures import Headers

from auth_service.core.errors import InvalidClient, InvalidTokenRequest
from auth_service.core.schemas import has_controls
from auth_service.standards.oauth.schemas import OAuthRequest

MOST_PARAMETERS = 50
Asked = TypeVar("Asked", bound=OAuthRequest)


def read_parameters(kind: type[OAuthRequest], headers: Headers, body: bytes) -> dict[str, Any]:
    """Those that `kind` has, as they were sent; RFC 6749 section 3.2: one without a value counts as left out.

    Raises InvalidTokenRequest.
    """
    sent = _read_form(body) if "form" in headers.get("content-type", "") else _read_json(body)
    known = {name: value for name, value in sent.items() if name in kind.model_fields and value != ""}
    if None in known.values():
        raise InvalidTokenRequest  # null is no text, and no scope must not come to mean every scope
    return known


def checked(kind: type[Asked], parameters: dict[str, Any]) -> Asked:
    """Raises InvalidTokenRequest."""
    try:
        return kind.model_validate(parameters)
    except ValidationError:
        raise InvalidTokenRequest from None


def credentials(headers: Headers, asked: OAuthRequest) -> tuple[str, str] | None:
    """Client id and secret, unverified; None where there is no secret: a public client (RFC 6749 section 2.1).

    Raises InvalidClient where they cannot be read, or were given twice. A bearer token is none.
    """
    given = headers.getlist("authorization")
    schemes = [value.partition(" ")[0].lower() for value in given]
    if schemes in ([], ["bearer"]):
        return None if asked.client_secret is None else (asked.client_id or "", asked.client_secret)
    if schemes != ["basic"]:
        raise InvalidClient
    client_id, secret = _read_basic(given[0].partition(" ")[2])
    if asked.client_secret is not None or asked.client_id not in {None, client_id}:
        raise InvalidClient("Give the client id and secret once: in the header or in the body.")
    return client_id, secret


def _read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise InvalidTokenRequest("The form cannot be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidTokenRequest  # RFC 6749 section 3.2, of unknown ones too
    if any(has_controls(value) for value in fields.values()):
        raise InvalidTokenRequest("A parameter has control characters.")  # as the edge refuses them in JSON (EDG-5)
    return fields


def _read_json(body: bytes) -> dict[str, Any]:
    fields = orjson.loads(body or b"{}")  # the edge has refused what is not JSON
    if not isinstance(fields, dict):
        raise InvalidTokenRequest
    return fields


def _read_basic(value: str) -> tuple[str, str]:
    try:
        client_id, separator, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidClient from None
    if not separator:
        raise InvalidClient
    return unquote_plus(client_id), unquote_plus(secret)  # RFC 6749 section 2.3.1
