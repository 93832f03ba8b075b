"""What the pages say in each language: gettext, read from the .po files that translators edit, so nothing is built."""

import gettext
from functools import cache
from importlib.resources import files
from io import BytesIO

LANGUAGES = {"en": "English", "ru": "Русский"}
SOURCE = "en"  # what stands in the templates


def N_(text: str) -> str:
    """Marks a text for the catalogue; it is put into a language where it is shown."""
    return text


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Of one of LANGUAGES."""
    if language == SOURCE:
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo  # for who opens a page: a MiB of a worker's memory
    from babel.messages.pofile import read_po

    source = files("auth_service.pages") / "locale" / language / "LC_MESSAGES" / "messages.po"
    compiled = BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
