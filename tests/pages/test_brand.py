"""The cinema's own colour and logo on the pages."""

import re
from pathlib import Path

import pytest

from auth_service.colors import contrast, lightened
from auth_service.config import ConfigError, load_settings
from auth_service.pages.brand import NIGHT_CARD, stylesheet
from auth_service.setting_values import PAGE_COLOR
from tests.conftest import Fresh

STYLES = (Path(__file__).parents[2] / "auth_service" / "pages" / "static" / "pages.css").read_text()


def test_contrast_is_that_of_the_guidelines() -> None:
    """WCAG 2.2: black on white is 21, and #767676 is the lightest grey that 4.5 allows on white."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")
    assert lightened("#1f5fbf", 0) == "#1f5fbf"
    assert lightened("#1f5fbf", 1) == "#ffffff"


@pytest.mark.parametrize("color", ["#000000", "#1f5fbf", "#b00020", "#0b6e4f", "#6a1b9a"])
def test_a_colour_can_be_read_by_day_and_by_night(color: str) -> None:
    assert load_settings(brand_color=color.upper()).brand_color == color
    day, night = re.findall(r"--accent:(#\w{6})", stylesheet(color))
    assert day == color
    assert contrast(day, PAGE_COLOR) >= 4.5
    assert contrast("#ffffff", day) >= 4.5
    assert contrast(night, NIGHT_CARD) >= 4.5
    assert contrast("#10141a", night) >= 4.5


def test_the_colours_that_are_reckoned_with_are_those_of_the_stylesheet() -> None:
    assert f"--page: {PAGE_COLOR};" in STYLES
    assert f"--card: {NIGHT_CARD};" in STYLES


@pytest.mark.parametrize("theme", [0, 1])
def test_all_texts_of_the_stylesheet_can_be_read(theme: int) -> None:
    day, night = (
        dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in re.findall(r":root \{(.*?)\}", STYLES, re.DOTALL)
    )
    colors = {
        name: value if len(value) == 7 else "#" + value[1:] * 2
        for name, value in (day if theme == 0 else day | night).items()
    }
    for text, grounds in {
        "text": ("page", "card", "bad"),
        "quiet": ("page", "card"),
        "danger": ("card",),
        "accent": ("page", "card"),
        "good-text": ("good",),
        "mind-text": ("mind",),
    }.items():
        for ground in grounds:
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)


@pytest.mark.parametrize("color", ["#ffd400", "#7fb2ff", "#777777"])
def test_a_colour_that_cannot_be_read_stops_the_start(color: str) -> None:
    with pytest.raises(ConfigError, match=r"BRAND_COLOR: must be darker: .* contrast of 4\.5:1"):
        load_settings(brand_color=color)


async def test_colour_and_logo_are_on_every_page(fresh: Fresh, tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    api = await fresh.api(brand_color="#b00020", brand_logo=logo, issuer_name="Ciné <Lux>")
    page = (await api.http.get("/account/sign-in")).text
    assert '<img src="/pages/logo" alt="" height="32">' in page
    assert "<span>Ciné &lt;Lux&gt;</span>" in page
    (address,) = re.findall(r'href="(/pages/brand\.css\?\w+)"', page)
    assert "--accent:#b00020" in (await api.http.get(address)).text
    picture = await api.http.get("/pages/logo")
    assert (picture.headers["content-type"], picture.content) == ("image/svg+xml", logo.read_bytes())
    assert picture.headers["content-security-policy"].endswith("; sandbox")
    other = await fresh.api()
    assert (await other.http.get("/pages/logo")).status_code == 404
