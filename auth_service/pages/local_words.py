"""Times and spans in the reader's language and zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from babel import Locale

_LOCALES = {"en": "en_GB", "ru": "ru"}  # British English: the day before the month, 24 hours


@lru_cache(maxsize=256)
def zone_of(name: str | None) -> tzinfo:
    """Of the name that a browser gave; UTC for none, and for what is no zone here."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


@dataclass(frozen=True, slots=True)
class LocalWords:
    language: str
    zone: tzinfo
    now: datetime

    def moment(self, value: datetime) -> str:
        """Such as 29 November 2026, 20:45 UTC."""
        local = value.astimezone(self.zone)
        month = _months(self.language)[local.month]
        return f"{local.day} {month} {local.year}, {local.hour:02}:{local.minute:02} {local.tzname()}"

    def short(self, value: datetime, pattern: str) -> str:
        """By a pattern of CLDR, such as d MMM."""
        from babel.dates import format_datetime

        return format_datetime(value.astimezone(self.zone), pattern, locale=self._locale)

    def number(self, value: int) -> str:
        from babel.numbers import format_decimal

        return format_decimal(value, locale=self._locale)

    @property
    def zone_name(self) -> str:
        return self.now.astimezone(self.zone).tzname() or str(self.zone)

    def ago(self, value: datetime) -> str:
        """Such as 3 minutes ago."""
        from babel.dates import format_timedelta

        past = min(value - self.now, timedelta(seconds=-1))
        return format_timedelta(past, add_direction=True, locale=self._locale)

    def span(self, value: timedelta) -> str:
        """Such as 15 minutes."""
        from babel.dates import format_timedelta

        return format_timedelta(value, threshold=1.5, locale=self._locale)

    @property
    def _locale(self) -> "Locale":
        return _locale(self.language)


@cache
def _locale(language: str) -> "Locale":
    from babel import Locale  # for who opens a page, as all of Babel here

    return Locale.parse(_LOCALES[language])


@cache
def _months(language: str) -> Mapping[int, str]:
    """As they stand in a date. A list shows forty moments, and Babel's format_datetime is most of what they cost."""
    from babel.dates import get_month_names

    return dict(get_month_names("wide", locale=_locale(language)))
