"""What the document says that holds for all routes alike: who may call, what is refused, which texts are taken.

A route says by `responses=refusals(…)` only what its own use case refuses, such as a name that is taken.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from auth_service.core.errors import AppError, Busy, NotFound, Unavailable, ValidationFailed
from auth_service.core.http.api_docs import ERROR_SCHEMA, PUBLIC, REQUEST_ID, add_refusals
from auth_service.core.http.api_links import add_links
from auth_service.core.http.authzen_rules import AUTHZEN, InvalidAuthZenRequest, is_authzen
from auth_service.core.http.csrf import CsrfRefused
from auth_service.core.http.edge import (
    BodyTooLarge,
    HeadersTooLarge,
    HostNotAllowed,
    InvalidJson,
    InvalidPath,
)
from auth_service.core.http.media_types import NoAuthZenRequest, NoOAuthRequest, UnsupportedMediaType
from auth_service.core.http.oauth_paths import OAUTH_PATHS
from auth_service.core.schemas import NO_CONTROLS

_EDGE = (HostNotAllowed, InvalidPath, BodyTooLarge, UnsupportedMediaType, HeadersTooLarge)
_SAFE = {"get", "head", "options"}
_SCHEMES: dict[str, Any] = {
    "access token": {"type": "http", "scheme": "bearer", "bearerFormat": "at+jwt"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "auth_access",
        "description": "`__Host-auth_access` at an https address; set by a login with X-Token-Transport.",
    },
}
_CLIENT = {"client secret": {"type": "http", "scheme": "basic", "description": "of a service account, for OAuth alone"}}
Operation = dict[str, Any]


def install_document(app: FastAPI, prefix: str, served_at: str = "") -> None:
    """FastAPI's document, finished. Its own way to show security is two dependencies, and 20 µs of each call.

    `served_at`: the path in front of its paths, if any.
    """
    written = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = written()
            _finish(app, document, prefix)
            if served_at:
                document["servers"] = [{"url": served_at}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _finish(app: FastAPI, document: dict[str, Any], prefix: str) -> None:
    schemas = document["components"]["schemas"]
    document["components"]["securitySchemes"] = _SCHEMES | _CLIENT
    raised = {key: set(errors) for key, errors in _raised_by_dependencies(app)}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            in_api = path.startswith((prefix, AUTHZEN))
            if in_api and path.removeprefix(prefix) not in PUBLIC:
                operation.setdefault("security", [{name: []} for name in _SCHEMES])
            _replace_invalid(operation)
            _name_body(operation, schemas)
            if not _is_validated(path, operation) or is_authzen(path):
                operation["responses"].pop("422", None)
            errors = raised.get((path, method), set()) - ({CsrfRefused} if method in _SAFE else set())
            add_refusals(
                operation["responses"],
                *(
                    NoOAuthRequest if error is UnsupportedMediaType and path in OAUTH_PATHS else error
                    for error in _EDGE
                ),
                *_by_shape(path, operation, asks_stores=in_api),
                *sorted(errors, key=_order),
            )
            operation["responses"] = dict(sorted(operation["responses"].items()))
            for status, answer in operation["responses"].items():
                answer.setdefault("headers", {}).update(REQUEST_ID)
                if answer["description"] == "Successful Response":
                    answer["description"] = HTTPStatus(int(status)).phrase
            for parameter in operation.get("parameters", []):
                _drop_null(parameter["schema"])
                _refine(parameter["schema"], schemas)
            for media in operation.get("requestBody", {}).get("content", {}).values():
                _drop_null(media["schema"])  # it may be left out, and generators leave nothing out of what may be null
                _refine(media["schema"], schemas)
    add_links(document["paths"], prefix)
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which we never answer
        schemas.pop(name, None)
    _require_constants(schemas)
    _drop_titles(list(schemas.values()))
    _drop_titles(document["paths"])


def _by_shape(path: str, operation: Operation, *, asks_stores: bool) -> Iterator[type[AppError]]:
    if "requestBody" in operation:
        yield InvalidJson
    if "{" in path:
        yield NotFound
    if "422" in operation["responses"] or _is_validated(path, operation):
        yield from (InvalidAuthZenRequest, NoAuthZenRequest) if is_authzen(path) else (ValidationFailed,)
    if asks_stores:
        yield Unavailable
        yield Busy


def _name_body(operation: Operation, schemas: dict[str, Any]) -> None:
    """A body that a route reads by hand is written out; a generator makes one type of all that have its name."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "properties" in media["schema"]:
            title = media["schema"]["title"]
            schemas.setdefault(title, media["schema"])
            media["schema"] = {"$ref": f"#/components/schemas/{title}"}


def _require_constants(schemas: dict[str, Any]) -> None:
    """An answer always has its constants, and by them generated clients tell one answer from another."""
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if "const" in field and field.pop("default", None) is not None:
                schema["required"] = [*schema.get("required", []), name]


def _drop_titles(part: Any) -> None:
    """Of fields and parameters, which say their name once more, as a comment above each line of generated code."""
    if isinstance(part, list):
        for item in part:
            _drop_titles(item)
    elif isinstance(part, dict):
        for key, item in part.items():
            for inner in item.values() if key == "properties" else [item] if key == "schema" else ():
                if isinstance(inner, dict):
                    inner.pop("title", None)
            _drop_titles(item)


def _is_validated(path: str, operation: Operation) -> bool:
    """What stands in the path alone is there, or it is a 404; OAuth says 400 of a wrong parameter."""
    if path in OAUTH_PATHS:
        return False
    return "requestBody" in operation or any(item["in"] != "path" for item in operation.get("parameters", []))


def _raised_by_dependencies(app: FastAPI) -> Iterator[tuple[tuple[str, str], Iterator[type[AppError]]]]:
    for route in iter_route_contexts(app.routes):
        if isinstance(dependant := getattr(route, "dependant", None), Dependant):
            for method in route.methods or ():
                yield (str(route.path_format), method.lower()), _marked(dependant)


def _marked(dependant: Dependant) -> Iterator[type[AppError]]:
    yield from getattr(dependant.call, "may_answer", ())
    for below in dependant.dependencies:
        yield from _marked(below)


def _order(error: type[AppError]) -> tuple[int, str]:
    return error.status, error.code


def _replace_invalid(operation: Operation) -> None:
    content = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
    if str(content.get("schema", {}).get("$ref", "")).endswith("/HTTPValidationError"):
        operation["responses"]["422"] = {"description": "", "content": {"application/json": {"schema": ERROR_SCHEMA}}}


def _drop_null(schema: dict[str, Any]) -> None:
    """An address has no way to write null; what may be null in Python may be left out there."""
    choices = [item for item in schema.get("anyOf", []) if item != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])


def _refine(schema: Any, schemas: dict[str, Any]) -> None:
    """A pattern for each text that has no tighter rule, and whole bounds for whole numbers; follows references."""
    if isinstance(schema, list):
        for item in schema:
            _refine(item, schemas)
    elif isinstance(schema, dict):
        if "$ref" in schema:
            _refine(schemas[schema["$ref"].rpartition("/")[2]], schemas)
        elif schema.get("type") == "string" and not schema.keys() & {"pattern", "format", "enum", "const"}:
            schema["pattern"] = NO_CONTROLS
        for key in ("minimum", "maximum"):
            if key in schema:
                schema[key] = int(schema[key])  # FastAPI writes 1000.0, and generators send it
        for key in ("anyOf", "oneOf", "allOf", "items", "additionalProperties"):
            _refine(schema.get(key), schemas)
        for item in schema.get("properties", {}).values():
            _refine(item, schemas)
