"""What no client sends by accident, and the API's operations, as its own OpenAPI tells them, to send it to."""

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from auth_service.core.connections import Resources
from auth_service.core.http.edge import STREAM_PATHS
from auth_service.core.http.oauth_paths import OAUTH_PATHS
from auth_service.main import create_app
from tests.conftest import test_settings
from tests.support.api import PASSWORD

NIL = "00000000-0000-0000-0000-000000000000"

# Written as bytes, because no JSON library would: a field of any type must refuse them.
BROKEN_JSON = {
    "NUL escaped": b'"a\\u0000b"',
    "NUL": b'"a\x00b"',
    "bell": b'"a\\u0007b"',
    "raw line break": b'"a\nb"',
    "escaped line break": b'"a\\nb"',
    "ANSI escape": b'"\\u001b[31mred"',
    "DEL": b'"a\x7f"',
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"\\udc00"',
    "swapped surrogates": b'"\\udc00\\ud800"',
    "UTF-8 surrogate": b'"\xed\xa0\x80"',
    "invalid UTF-8": b'"\xff\xfe"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-16 inside": '"a"'.encode("utf-16"),
    "BOM inside": b"\xef\xbb\xbf1",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "1e400": b"1e400",
    "-1e400": b"-1e400",
    "21 digits": b"1" * 21,
    "5,000 digits": b"9" * 5000,
    "minus 5,000 digits": b"-" + b"9" * 5000,
    "5,000 digits and a fraction": b"9" * 5000 + b".0",
    "deep array": b"[" * 33 + b"]" * 33,
    "deep object": b'{"a":' * 33 + b"1" + b"}" * 33,
    "1,000 open arrays": b"[" * 1000,
    "duplicate keys": b'{"a":1,"a":2}',
    "leading zero": b"007",
    "hexadecimal": b"0x10",
    "undefined": b"undefined",
    "single quotes": b"'a'",
    "half a string": b'"a',
}

# Well-formed JSON of a type; a field that does not take the type must refuse it.
WRONG_TYPES: dict[str, tuple[str, Any]] = {
    "null": ("null", None),
    "true": ("boolean", True),
    "false": ("boolean", False),
    "zero": ("integer", 0),
    "one": ("integer", 1),
    "minus one": ("integer", -1),
    "Unix seconds": ("integer", 1_900_000_000),
    "Unix milliseconds": ("integer", 1_900_000_000_000),
    "2 to the 31": ("integer", 2**31),
    "2 to the 63": ("integer", 2**63),
    "2 to the 64": ("integer", 2**64),
    "a fraction": ("number", 1.5),
    "a big number": ("number", 1e308),
    "minus zero": ("number", -0.0),
    "empty object": ("object", {}),
    "an operator": ("object", {"$ne": ""}),
    "a prototype": ("object", {"__proto__": {"is_superuser": True}}),
    "a string in a list": ("array of it", ["films:read"]),
    "a list in a list": ("array of it", [[]]),
    "null in a list": ("array of it", [None]),
    "a number in a list": ("array of it", [1]),
}

# Texts: some fields take some of them; no field may break on any.
ODD_TEXTS = [
    "",
    " ",
    "a",
    "a" * 15_000,
    "\u0301" * 300,
    "a" + "\u0301" * 300,
    "\ufdfa" * 64,
    "\ufdfa" * 300,
    "\u200b\u200d\ufeff",
    "\u202egnp.exe",
    "\u2028\u2029",
    "\u00a0admin\u00a0",
    "\ud83d\udc68\u200d\ud83d\udc69".encode("utf-16", "surrogatepass").decode("utf-16"),
    "\uffff\ufffe",
    "\U0010ffff\U000e0041",
    "\u0345\u0130\u00df\u01c5\u1e9e",
    "\uff41\uff44\uff4d\uff49\uff4e",
    "\u0660\u0661\u0662\u0663",
    "12",
    "true",
    "null",
    "NaN",
    "-1",
    "1e400",
    "9" * 400,
    "1900000000",
    "1900000000000",
    "-62135596801",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999-23:59",
    "10000-01-01T00:00:00Z",
    "+275760-09-13T00:00:00Z",
    "2030-01-31T12:00:00",
    "2030-01-31",
    "2030-02-30T00:00:00Z",
    "2030-01-31T24:00:01Z",
    "2030-06-30T23:59:60Z",
    "2030-01-31T12:00:00+99:99",
    "2030-01-31T12:00:00 Europe/Moscow",
    "P1D",
    "now",
    "infinity",
    NIL,
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    f"urn:uuid:{NIL}",
    f"{{{NIL}}}",
    "../../etc/passwd",
    "' OR 1=1 --",
    "\\u0000",
    "%00",
    "{{7*7}}${jndi:ldap://localhost/}",
    "{0.__class__}%s%n",
    "*",
    "*:*",
    ":",
    "films:*:*",
    "films:read:extra",
    "a@b",
    "a@b@example.com",
    "@example.com",
    "a@[127.0.0.1]",
    "a@xn--a.example",
    "a@xn--zzzzzzzzzzzzzz.example",
    "a@" + "b" * 70 + ".example",
    "a@" + "\u0301" + ".example",
    "\u0430@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
    '"a b"@example.com',
    "a\u200d@example.com",
    "a@\u200d.example",
    "a@\u2024.example",
    "e30.e30.e30",
    "A" * 43,
]

# None of them can be the name of anything.
HOSTILE_PATH_PARTS = [
    "%00",
    "a%00b",
    "%0a",
    "%0d%0aX-Injected:%201",
    "%1b%5b31m",
    "%7f",
    "%ff",
    "%c0%af",
    "%ed%a0%80",
    "%ed%b0%80",
    "%f4%90%80%80",
    "%",
    "%zz",
    "%u0041",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%2f",
    "%3f",
    "%23",
    "%5c",
    "%20",
    "%e2%80%ae",
    "%f0%9f%8e%ac",
    "Null",
    "True",
    "NaN",
    "-1",
    "0",
    "9" * 400,
    "a" * 4000,
    "*",
    "'%20OR%201=1%20--",
    "%7b0.__class__%7d",
    ";jsessionid=1",
    NIL,
    f"urn:uuid:{NIL}",
    f"%7b{NIL}%7d",
    NIL.replace("-", ""),
    NIL + "0",
    "ME",
    "me%00",
]

SAMPLES: dict[str, Any] = {
    "login": "hostile-edge",
    "email": "hostile-edge@example.com",
    "password": PASSWORD,
    "current_password": PASSWORD,
    "new_password": f"{PASSWORD}, changed",
    "name": "hostile-edge",
    "code": "hostile:edge",
    "title": "Hostile edge",
    "permission": "films:watch",
    "checks": [{"permission": "films:watch"}],
    "permissions": ["films:read"],
    "scopes": ["permissions:check"],
    "parents": ["guest"],
    "explain": False,
    "user_id": NIL,
    "valid_from": "2030-01-01T00:00:00Z",
    "valid_until": "2031-01-01T00:00:00Z",
    "expires_at": "2031-01-01T00:00:00Z",
    "grant_type": "client_credentials",
    "client_id": NIL,
    "scope": "films:read",
}


@dataclass(frozen=True)
class Field:
    """Of a request body; `path` leads to it, `types` are the JSON types that it takes."""

    path: tuple[str | int, ...]
    types: frozenset[str]

    @property
    def name(self) -> str:
        return str([part for part in self.path if isinstance(part, str)][-1])


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    path_params: tuple[str, ...] = ()
    query_params: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    sample: dict[str, Any] = field(default_factory=dict)
    answer_fields: frozenset[str] = frozenset()
    needs_token: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def misfit(self) -> tuple[int, str]:
        """What it answers to JSON of another shape."""
        return (400, "invalid_request") if self.path in OAUTH_PATHS else (422, "validation_error")

    def url(self, **params: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: params[found[1]], self.path)

    def with_raw(self, path: tuple[str | int, ...], raw: bytes) -> bytes:
        """The sample as JSON, with `raw` in the place of one field."""
        marker = "-the-place-of-the-raw-bytes-"
        text = json.dumps(_replaced(self.sample, path, marker))
        assert text.count(marker) == 1
        return text.encode().replace(f'"{marker}"'.encode(), raw)

    def with_value(self, path: tuple[str | int, ...], value: Any) -> bytes:
        return self.with_raw(path, json.dumps(value).encode())


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document. For tests that read it, not for those that are about it."""
    return create_app(test_settings()).openapi()


@functools.cache
def operations() -> list[Operation]:
    """All of the API, but what goes on for ever: tests/changes asks it."""
    schema = document()
    found = []
    for path, methods in schema["paths"].items():
        if path in STREAM_PATHS:
            continue
        for method, operation in methods.items():
            found.append(_operation(schema, method, path, operation))
    return found


def _operation(schema: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Operation:
    params = operation.get("parameters", [])
    body = next(iter(operation.get("requestBody", {}).get("content", {}).values()), {}).get("schema", {})
    fields = tuple(_fields(schema, body))
    sample = {f.name: _sample(f) for f in fields if len(f.path) == 1}
    answers = [
        content.get("schema", {})
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for content in answer.get("content", {}).values()
    ]
    return Operation(
        method.upper(),
        path,
        tuple(param["name"] for param in params if param["in"] == "path"),
        tuple(param["name"] for param in params if param["in"] == "query"),
        fields,
        sample,
        frozenset(name for answer in answers for name in _property_names(schema, answer)),
        needs_token=path.startswith(("/api/", "/access/"))
        and not re.search(r"/auth/(register|login|refresh|logout|token|revoke)$", path),
    )


def _resolve(schema: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a schema, references followed."""
    if "$ref" in part:
        return _resolve(schema, schema["components"]["schemas"][part["$ref"].rpartition("/")[2]])
    if "anyOf" in part and "properties" not in part:  # else it says which of them are needed
        return [resolved for option in part["anyOf"] for resolved in _resolve(schema, option)]
    return [part]


def _fields(schema: dict[str, Any], part: dict[str, Any], prefix: tuple[str | int, ...] = ()) -> Iterator[Field]:
    for option in _resolve(schema, part):
        for name, value in option.get("properties", {}).items():
            alternatives = _resolve(schema, value)
            yield Field((*prefix, name), frozenset(str(a.get("type")) for a in alternatives))
            for alternative in alternatives:
                if alternative.get("type") == "array":
                    yield from _fields(schema, alternative["items"], (*prefix, name, 0))


def _property_names(schema: dict[str, Any], part: dict[str, Any]) -> set[str]:
    names: set[str] = set()
    for option in _resolve(schema, part):
        names |= option.get("properties", {}).keys()
        if "items" in option:
            names |= _property_names(schema, option["items"])
    return names


def _sample(wanted: Field) -> Any:
    return SAMPLES.get(wanted.name, f"sample of {wanted.name.replace('_', ' ')}")


def _replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, list):
        return [_replaced(item, path[1:], new) if i == path[0] else item for i, item in enumerate(value)]
    assert isinstance(value, dict)
    return value | {path[0]: _replaced(value.get(str(path[0])), path[1:], new)}


async def stored(resources: Resources) -> dict[str, tuple[int, str]]:
    """Of each table the number of rows and a hash of all that is in them."""
    connection = await asyncpg.connect(resources.settings.direct_address.dsn)
    try:
        # A partition is in the table that it is a part of.
        tables = await connection.fetch(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        found = {}
        for (table,) in tables:
            # What a login looks like is filled in by a job, for the accounts that tests make by hand.
            row = "(user_id, claimed)::text" if table == "login_looks" else "t::text"
            count, digest = await connection.fetchrow(
                "SELECT count(*), sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line), ''), 'UTF8'))"  # noqa: S608
                f' FROM (SELECT {row} AS line FROM "{table}" t) AS lines'
            )
            found[table] = (count, digest.hex())
        return found
    finally:
        await connection.close()
