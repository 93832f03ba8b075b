"""What we take for JSON: RFC 8259 and I-JSON (RFC 7493), without the parser's kindnesses (EDG-5). Pure."""

import json
import math
import re
from typing import Any

MAX_DEPTH = 32
MAX_DIGITS = 20
_SURROGATE = re.compile("[\ud800-\udfff]")
_BAD = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class NotStrictJson(ValueError):
    """Says what is wrong without repeating any of it."""


def check_strict_json(body: bytes, *, controls: bool = False) -> None:
    """Raises NotStrictJson for all that a JSON parser, Python or Postgres could take amiss.

    `controls`: texts may have control characters, as RFC 7493 lets them; whoever reads such a text looks out for NUL.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrictJson("The body is not UTF-8.") from None
    _check_depth(body)
    try:
        value = _DECODER.decode(text)
    except NotStrictJson:
        raise
    except ValueError:
        raise NotStrictJson("The body is not valid JSON.") from None
    if b"\\" in body or b"\x7f" in body:  # only an escape can smuggle the others into a parsed string
        _check_text(value, _SURROGATE if controls else _BAD)


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _TOKENS.finditer(body):
        if token[0] in {b"[", b"{"}:
            depth += 1
            if depth > MAX_DEPTH:
                raise NotStrictJson("The JSON is nested too deeply.")
        elif token[0] in {b"]", b"}"}:
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrictJson("The JSON has a key twice in one object.")
    return found


def _refuse_constant(_name: str) -> Any:
    raise NotStrictJson("NaN and Infinity are not JSON.")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise NotStrictJson("The JSON has a number that is too large.")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise NotStrictJson("The JSON has a number that is too large.")
    return value


def _check_text(value: Any, bad: re.Pattern[str]) -> None:
    if isinstance(value, str):
        if bad.search(value):
            raise NotStrictJson("The JSON has a text with control characters or lone surrogates.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, bad)
            _check_text(item, bad)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, bad)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_number
)
