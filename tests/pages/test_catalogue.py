"""Every text of the pages is in the catalogue of every language, and nothing else is."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from pydantic import TypeAdapter, ValidationError

from auth_service.core.errors import AppError
from auth_service.core.passwords.hashing import check_context
from auth_service.mfa.schemas import TypedCode, TypedDigits
from auth_service.pages import words
from auth_service.pages.catalogue import LANGUAGES, SOURCE, catalogue
from auth_service.pages.words import field_words
from auth_service.users.schemas import Email, Login, NewPassword

PAGES = Path(str(files("auth_service.pages")))
METHODS = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2)}


def texts() -> set[str | tuple[str, ...]]:
    found = extract_from_dir(str(PAGES), METHODS, keywords=KEYWORDS)  # type: ignore[arg-type]
    return {message for _, _, message, _, _ in found}


def translated(language: str) -> dict[str | tuple[str, ...], Message]:
    with (PAGES / "locale" / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return {
            message.id if isinstance(message.id, str) else tuple(message.id): message
            for message in read_po(file)
            if message.id
        }


@pytest.mark.parametrize("language", sorted(LANGUAGES.keys() - {SOURCE}))
def test_a_catalogue_is_complete_and_has_nothing_that_is_unused(language: str) -> None:
    known, used = translated(language), texts()
    assert len(used) > 150
    assert used - known.keys() == set(), "not translated: make texts"
    assert known.keys() - used == set(), "not used any more: make texts"
    for text, message in known.items():
        assert not message.fuzzy, text
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        wanted = sorted(re.findall(r"%\(\w+\)s", text if isinstance(text, str) else text[0]))
        for form in forms:
            assert form, text
            assert sorted(re.findall(r"%\(\w+\)s", form)) == wanted, text
        assert len(forms) == (1 if isinstance(text, str) else 3)


def test_a_language_counts_in_its_own_way() -> None:
    say = catalogue("ru").ngettext
    one, many = "%(num)s recovery code left", "%(num)s recovery codes left"
    said = [say(one, many, number) % {"num": number} for number in (1, 2, 5, 11, 21)]
    assert [text.split()[-1] for text in said] == ["код", "кода", "кодов", "кодов", "код"]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *((Login, text) for text in ("a", "a" * 65, "a b c", ".abc", "aбc")),
        *((Email, text) for text in ("anna", "a" * 65 + "@example.com", f"a@{'b' * 60}.{'c' * 190}.com")),
        *((NewPassword, text) for text in ("short", "x" * 257, "password1")),
        *((TypedCode, text) for text in ("12345", "junk")),
        *((TypedDigits, text) for text in ("12345", "１２３４５６")),
    ],
)
def test_every_refusal_of_a_field_has_words_of_its_own(kind: object, wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(wrong)
    (item,) = refused.value.errors()
    said = field_words(item["type"], str(item.get("ctx", {}).get("error", "")), "field")
    assert said is not words._UNFIT


def test_a_password_made_of_known_words_has_words_of_its_own() -> None:
    with pytest.raises(ValueError, match="besides") as refused:
        check_context("annaanna1", ["anna"])
    assert field_words("value_error", str(refused.value), "new_password") is not words._UNFIT


def test_every_code_that_has_words_is_one_that_is_raised() -> None:
    codes, kinds = set(), [AppError]
    while kinds:
        kind = kinds.pop()
        codes.add(kind.code)
        kinds += kind.__subclasses__()
    assert words._BY_CODE.keys() <= codes
    assert words._BESIDE.keys() <= words._BY_CODE.keys()
