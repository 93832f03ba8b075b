"""Which bodies a path takes: JSON, a form, or either. Pure."""

from collections.abc import Mapping

from auth_service.core.errors import AppError
from auth_service.core.http.authzen_rules import is_authzen
from auth_service.core.http.oauth_paths import OAUTH_PATHS
from auth_service.core.http.page_paths import is_form_page

FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"


class UnsupportedMediaType(AppError):
    """RFC 9110 section 15.5.16: the answer's headers say what would have been taken."""

    status, code, detail = 415, "unsupported_media_type", "Send the body as application/json, with this Content-Type."
    headers = {"Accept": "application/json"}


class NoOAuthRequest(UnsupportedMediaType):
    detail = "Send the body as application/x-www-form-urlencoded or application/json, with this Content-Type."
    headers = {"Accept": "application/x-www-form-urlencoded, application/json"}


class NoAuthZenRequest(UnsupportedMediaType):
    """400 by its certification scenario, section "Invalid content type"."""

    status = 400


class NoForm(UnsupportedMediaType):
    detail = "Pages take what their forms send: application/x-www-form-urlencoded."
    headers = {"Accept": "application/x-www-form-urlencoded"}


class UnsupportedCharset(UnsupportedMediaType):
    detail = "Send the body in UTF-8, and no other charset in Content-Type."


class UnsupportedCoding(UnsupportedMediaType):
    detail = "Send the body as it is: not compressed, without Content-Encoding."
    headers = {"Accept-Encoding": "identity"}


def media_type_of(path: str, headers: Mapping[bytes, bytes]) -> bytes:
    """Of a body that can be read; raises UnsupportedMediaType for all others."""
    given = headers.get(b"content-type", b"")
    if given == JSON and b"content-encoding" not in headers and not is_form_page(path):
        return given  # as nearly everybody writes it
    if headers.get(b"content-encoding", b"").strip().lower() not in {b"", b"identity"}:
        raise UnsupportedCoding
    media_type, *parameters = given.lower().split(b";")
    media_type = media_type.strip()
    if media_type not in _taken_by(path):
        raise _wrong_type(path)
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"charset" and value.strip(b' \t"') not in {b"utf-8", b"utf8"}:
            raise UnsupportedCharset
    return media_type


def _taken_by(path: str) -> tuple[bytes, ...]:
    if is_form_page(path):
        return (FORM,)
    return (JSON, FORM) if path in OAUTH_PATHS else (JSON,)


def _wrong_type(path: str) -> UnsupportedMediaType:
    if is_authzen(path):
        return NoAuthZenRequest()
    if is_form_page(path):
        return NoForm()
    return NoOAuthRequest() if path in OAUTH_PATHS else UnsupportedMediaType()
