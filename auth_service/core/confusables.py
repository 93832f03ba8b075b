"""What people take for one another: Unicode's confusables (UTS 39), and scripts. Pure; NOTICE names the source."""

import gzip
import re
import unicodedata
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("confusables.txt.gz")
# Scripts that belong together in one word of their language; every other mix is a look-alike trick.
_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
_NUMERIC_NAMES = re.compile(r"DIGIT|NUMBER")
# Of Latin, Greek and Cyrillic letters, in decomposed text. In other scripts marks are vowels: they tell words apart.
_ACCENTS = re.compile(
    "(?<=[A-Za-z\u00df-\u02af\u0370-\u03ff\u0400-\u052f\u1d00-\u1dbf\u1e00-\u1fff\u2c60-\u2c7f\ua640-\ua69f\ua720-\ua7ff])"
    "[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]+"
)


def skeleton(text: str) -> str:
    """UTS 39 section 4, for texts without invisible characters: two texts that look the same have the same one."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).translate(_table()))


def look(text: str) -> str:
    """The skeleton for names that are the same in upper and lower case, and to readers who overlook accents.

    Of the text as it is shown: the capital I of paypaI is taken for an l, its small i is not.
    """
    before, text = "", unicodedata.normalize("NFD", text)
    while text != before:  # a folded letter may have a look-alike of its own
        before = text
        text = unicodedata.normalize("NFD", _ACCENTS.sub("", skeleton(_ACCENTS.sub("", text))).casefold())
    return text


def scripts_of(text: str) -> set[str]:
    """Of its letters and digits, but for digits that all scripts use."""
    return {_script(char) for char in text if char.isalpha() or char.isdecimal()} - {"COMMON"}


def mixes_scripts(text: str) -> bool:
    return len(scripts_of(text)) > 1


def _script(char: str) -> str:
    # Unicode's own name begins with the script; the standard library has no script property.
    name = unicodedata.name(char, "UNKNOWN")
    if char.isdecimal() and _NUMERIC_NAMES.match(name):
        return "COMMON"
    first = name.partition(" ")[0].partition("-")[0]
    return "EAST ASIAN" if first in _EAST_ASIAN else first


@cache
def _table() -> dict[int, str]:
    """Read at the first use, in 5 ms; a file that is missing is an error, never an empty table."""
    _version, *lines = gzip.decompress(_FILE.read_bytes()).decode().split("\n")
    return {ord(line[0]): line[1:] for line in lines}
