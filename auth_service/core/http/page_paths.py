"""Pages with forms, whose bodies browsers send as application/x-www-form-urlencoded and nothing else. Pure."""

ACCOUNT = "/account"
CONSOLE = "/console"
MAILED_LINKS = frozenset({"/confirm-email", "/forgot-password", "/reset-password"})


def is_form_page(path: str) -> bool:
    return path in MAILED_LINKS or is_below(path, ACCOUNT) or is_below(path, CONSOLE)


def is_below(path: str, start: str) -> bool:
    """`start` itself counts."""
    return path == start or path.startswith(f"{start}/")
