"""OpenAPI links: which answer holds the id that another operation asks for, for tools that walk along."""

from typing import Any

# Of a successful answer: the path parameters that it can fill, here and wherever else they occur.
_SOURCES = {
    ("post", "/auth/register"): {"user_id": "$response.body#/id"},
    ("post", "/admin/users"): {"user_id": "$response.body#/id"},
    ("post", "/roles"): {"name": "$response.body#/name"},
    ("post", "/permissions"): {"code": "$response.body#/code"},
    ("post", "/grants/jobs"): {"job_id": "$response.body#/id"},
    ("post", "/services"): {"service_id": "$response.body#/id"},
    ("get", "/users/me/sessions"): {"session_id": "$response.body#/items/0/id"},
    ("get", "/users/me/devices"): {"device_id": "$response.body#/items/0/id"},
}


def add_links(paths: dict[str, dict[str, Any]], prefix: str) -> None:
    """Changes the paths of a document in place."""
    for (method, source), found in _SOURCES.items():
        responses = paths[f"{prefix}{source}"][method]["responses"]
        answer = next(responses[status] for status in sorted(responses) if status.startswith("2"))
        for path, operations in paths.items():
            filled = {name: value for name, value in found.items() if f"{{{name}}}" in path}
            if filled:
                for operation in operations.values():
                    link = {"operationId": operation["operationId"], "parameters": filled}
                    answer.setdefault("links", {})[operation["operationId"]] = link
