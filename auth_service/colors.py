"""Colours as #rrggbb: how well one can be read on another (WCAG 2.2, "contrast ratio"). Pure."""


def contrast(one: str, other: str) -> float:
    """From 1 for equals to 21 for black and white."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def lightened(color: str, part: float) -> str:
    """So much of the way to white: 0 is the colour itself, 1 white."""
    return "#" + "".join(f"{round(value + (255 - value) * part):02x}" for value in _channels(color))


def _channels(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.removeprefix("#")))


def _luminance(color: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
