"""Pages with forms, whose bodies browsers send as application/x-www-form-urlencoded and nothing else. Pure."""

ACCOUNT = "/account"
MAILED_LINKS = frozenset({"/confirm-email", "/forgot-password", "/reset-password"})


def is_form_page(path: str) -> bool:
    return path in MAILED_LINKS or path == ACCOUNT or path.startswith(f"{ACCOUNT}/")
