"""Times and spans in the reader's language and zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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
        from babel.dates import format_datetime

        local = value.astimezone(self.zone)
        words = format_datetime(local, "d MMMM y, HH:mm", locale=self._locale)
        return f"{words} {local.tzname()}"

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
    def _locale(self) -> str:
        return _LOCALES[self.language]
