"""Texts and moments as pages say them, which do not go through Babel or gettext each time."""

from datetime import UTC, datetime

import pytest
from babel.dates import format_datetime

from auth_service.pages.local_words import LocalWords, zone_of
from auth_service.pages.templating import environment as templates


@pytest.mark.parametrize(("language", "locale"), [("en", "en_GB"), ("ru", "ru")])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Moscow", "America/New_York"])
def test_a_moment_is_said_as_babel_says_it(language: str, locale: str, zone: str) -> None:
    local = LocalWords(language, zone_of(zone), datetime.now(UTC))
    for month in range(1, 13):
        moment = datetime(2026, month, month, 2 * month - 1, 5, tzinfo=UTC)
        there = moment.astimezone(zone_of(zone))
        words = format_datetime(there, "d MMMM y, HH:mm", locale=locale)
        assert local.moment(moment) == f"{words} {there.tzname()}"


def test_a_text_without_facts_is_part_of_the_template() -> None:
    environment = templates("ru")
    source = '<p title="{{ _("Show") }}">{% set title = _("Roles") %}{{ title }}{{ "a" if no else _("Role") }}</p>'
    assert "Показать" in environment.compile(source, raw=True)
    assert environment.from_string(source).render(no=False) == '<p title="Показать">РолиРоль</p>'


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('{{ _("5%% of <b>") }}', "5% of <b>"),
        ("{{ _(text) }}", "5% of <b>"),
        ('{{ _("%(who)s of <b>", who=who) }}', "&lt;i&gt; of <b>"),
        ('{{ ngettext("%(num)s of %(who)s", "", 1, who=who) }}', "1 of &lt;i&gt;"),
    ],
)
def test_what_is_said_is_safe_and_facts_are_escaped(source: str, said: str) -> None:
    assert templates("en").from_string(source).render(text="5%% of <b>", who="<i>") == said
