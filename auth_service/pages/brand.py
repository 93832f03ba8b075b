"""The cinema's own look: its colour as a stylesheet, since nothing stands inline in a page, and its logo."""

import hashlib
from functools import lru_cache

from auth_service.colors import contrast, lightened
from auth_service.config import Settings
from auth_service.setting_values import LEAST_CONTRAST, LOGO_TYPES

NIGHT_CARD = "#1c2129"  # what links stand on by night, in pages.css
_STEPS = 20


@lru_cache(maxsize=8)
def stylesheet(color: str) -> str:
    """By night the colour is made lighter until it can be read there."""
    steps = (lightened(color, step / _STEPS) for step in range(_STEPS + 1))
    night = next(light for light in steps if contrast(light, NIGHT_CARD) >= LEAST_CONTRAST + 1)
    return (
        f":root{{--accent:{color};--on-accent:#fff}}"
        f"@media(prefers-color-scheme:dark){{:root{{--accent:{night};--on-accent:#10141a}}}}\n"
    )


def version(settings: Settings) -> str:
    """Changes with the stylesheet, so that no browser keeps an old one."""
    return hashlib.sha256(stylesheet(settings.brand_color).encode()).hexdigest()[:8]


def logo(settings: Settings) -> tuple[bytes, str] | None:
    """The file and its media type."""
    if settings.brand_logo is None:
        return None
    return settings.brand_logo.read_bytes(), LOGO_TYPES[settings.brand_logo.suffix]
