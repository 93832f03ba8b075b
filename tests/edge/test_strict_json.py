"""What the edge takes for JSON, and what it refuses (EDG-5)."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_service.core.http.strict_json import MAX_DEPTH, MAX_DIGITS, NotStrictJson, check_strict_json

REFUSED = {
    "nothing": b"",
    "blank": b" \n",
    "two values": b"{} {}",
    "trailing comma": b'{"a": 1,}',
    "comment": b'{"a": 1} // b',
    "single quotes": b"{'a': 1}",
    "bare word": b"nul",
    "leading zero": b"[01]",
    "plus sign": b"[+1]",
    "hexadecimal": b"[0x1f]",
    "no digit after the point": b"[1.]",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "minus Infinity": b'{"a": -Infinity}',
    "over the range of a double": b'{"a": 1e400}',
    "under the range of a double": b'{"a": -1e400}',
    "5,000 digits": b"[" + b"9" * 5000 + b"]",
    "5,000 digits with a fraction": b"[" + b"9" * 5000 + b".5]",
    "one digit too many": b"[" + b"1" * (MAX_DIGITS + 1) + b"]",
    "exponent of 5,000 digits": b"[1e" + b"9" * 5000 + b"]",
    "same key twice": b'{"a": 1, "a": 2}',
    "same key twice, deep": b'[{"b": {"a": 1, "a": 1}}]',
    "same key twice, once escaped": b'{"a": 1, "\\u0061": 2}',
    "too many arrays": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "too many objects": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "too many of both": b'[{"a":' * (MAX_DEPTH // 2) + b"[1]" + b"}]" * (MAX_DEPTH // 2),
    "depth hidden behind strings": b'["\\"[", ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]",
    "arrays without an end": b"[" * 100_000,
    "objects without an end": b'{"a":' * 20_000,
    "string without an end": b'["a',
    "escaped NUL": b'"\\u0000"',
    "NUL": b'"\x00"',
    "raw tab": b'"\t"',
    "escaped tab": b'"\\u0009"',
    "tab in short": b'"\\t"',
    "line break in short": b'"\\n"',
    "backspace in short": b'"\\b"',
    "raw line break": b'"\n"',
    "escape character": b'"\\u001b[31m"',
    "DEL": b'"\x7f"',
    "escaped DEL": b'"\\u007f"',
    "control character in a key": b'{"\\u0000": 1}',
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"\\udc00"',
    "surrogates the wrong way round": b'"\\udc00\\ud800"',
    "lone surrogate in a key": b'{"\\ud800": 1}',
    "lone surrogate deep down": b'[[{"a": ["\\udfff"]}]]',
    "surrogate as UTF-8": b'"\xed\xa0\x80"',
    "invalid UTF-8": b'"\xff"',
    "cut UTF-8": b'"\xc3"',
    "overlong UTF-8": b'"\xc0\x80"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a": 1}'.encode("utf-16-le"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "bad escape": b'"\\x41"',
    "short escape": b'"\\u12"',
}

TAKEN: dict[str, tuple[bytes, Any]] = {
    "object": (b'{"a": [1, -2.5, true, false, null, "b"]}', {"a": [1, -2.5, True, False, None, "b"]}),
    "top-level number": (b"12", 12),
    "white space around": (b" \r\n\t[]\n", []),
    "all the depth": (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    "many brackets side by side": (b"[" + b"[]," * 99 + b"[]]", [[]] * 100),
    "brackets in a string": (b'"' + b"[{" * 100 + b'"', "[{" * 100),
    "brackets after an escaped quote": (b'"\\"' + b"[" * 100 + b'"', '"' + "[" * 100),
    "brackets after an escaped backslash": (b'["\\\\", "' + b"[" * 100 + b'"]', ["\\", "[" * 100]),
    "same key in different objects": (b'[{"a": 1}, {"a": {"a": 2}}]', [{"a": 1}, {"a": {"a": 2}}]),
    "all the digits": (b"9" * MAX_DIGITS, 10**MAX_DIGITS - 1),
    "tiny number": (b"1e-400", 0.0),
    "emoji escaped": (b'"\\ud83c\\udfac"', "🎬"),
    "emoji as it is": ('"🎬"'.encode(), "🎬"),
    "two alphabets": ('"Фильм"'.encode(), "Фильм"),
    "escaped letter": (b'"\\u0416"', "Ж"),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_edg_5_refused(body: bytes) -> None:
    with pytest.raises(NotStrictJson):
        check_strict_json(body)


@pytest.mark.parametrize(("body", "value"), TAKEN.values(), ids=TAKEN)
def test_edg_5_taken(body: bytes, value: Any) -> None:
    check_strict_json(body)
    assert value is None or json.loads(body) == value


@pytest.mark.parametrize(
    "body", [b'{"s3cret-canary": NaN}', b'{"s3cret-canary": 1, "s3cret-canary": 2}', b"s3cret-canary"]
)
def test_edg_6_the_refusal_repeats_nothing(body: bytes) -> None:
    with pytest.raises(NotStrictJson) as caught:
        check_strict_json(body)
    assert "s3cret-canary" not in str(caught.value)


def _passes(body: bytes) -> bool:
    try:
        check_strict_json(body)
    except NotStrictJson:
        return False
    return True


texts = st.text(st.characters(exclude_categories=[]) | st.sampled_from("\t\n\x00\x7f\ud800"), max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
# Pieces that look like JSON often enough to get past the first character.
PIECES = rb'{ } [ ] , : " \ \u d800 0000 \n \" 1 e9 - . NaN true null "a"'.split()
PIECES += [b" ", b"\n", b"\x00", b"\x7f", b"\xff", b"\xef\xbb\xbf", "ж".encode()]
json_like = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


@given(st.binary(max_size=200) | json_like)
def test_edg_5_any_bytes_are_taken_or_refused_and_nothing_else(body: bytes) -> None:
    if _passes(body):
        json.loads(body.decode())


@given(json_values)
def test_edg_5_what_passes_is_plain(value: Any) -> None:
    """Judged by a second, slow reading of the same value: no text, number or depth gets past that we do not want."""
    body = json.dumps(value).encode()
    assert _passes(body) is _is_plain(value, MAX_DEPTH)


def _is_plain(value: Any, room: int) -> bool:
    if isinstance(value, str):
        return all(0x20 <= ord(char) != 0x7F and not 0xD800 <= ord(char) <= 0xDFFF for char in value)
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return len(str(value)) <= MAX_DIGITS
    if isinstance(value, float):
        return math.isfinite(value)
    items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return room > 0 and all(_is_plain(item, room - 1) for item in items)
