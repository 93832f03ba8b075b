"""Where the links of our mails lead while the cinema has no account pages of its own, which ACCOUNT_URL would name.

Opening a page changes nothing, since scanners of mail open links too; the button sends the token to the API.
"""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from auth_service.pages.page import show

router = APIRouter(include_in_schema=False)

# What links.js shows after each answer of the API: the names it goes by, and what each says.
_ALWAYS = {"busy": ["busy"], "down": ["down"], "broken": ["broken"]}
_FORGOT = {"sent": ["sent"], "no_address": ["no_address"], **_ALWAYS}
_CONFIRM = {
    "done": ["confirmed", "close"],
    "waiting": ["waiting"],
    "used": ["confirm_used"],
    "taken": ["taken"],
    "missing": ["missing"],
    **_ALWAYS,
}
_RESET = {
    "done": ["reset_done", "reset_next"],
    "used": ["reset_used"],
    "short": ["short"],
    "long": ["long"],
    "different": ["different"],
    "weak": ["weak"],
    "missing": ["missing"],
    **_ALWAYS,
}
_GOOD = {"done", "waiting", "sent"}


@router.get("/confirm-email")
async def confirm_email(request: Request) -> HTMLResponse:
    return _page(request, "confirm", "api/v1/auth/email/confirm", _CONFIRM)


@router.get("/forgot-password")
async def forgot_password(request: Request) -> HTMLResponse:
    return _page(request, "forgot", "api/v1/auth/password/forgot", _FORGOT)


@router.get("/reset-password")
async def reset_password(request: Request) -> HTMLResponse:
    return _page(request, "reset", "api/v1/auth/password/reset", _RESET)


def _page(request: Request, name: str, api: str, outcomes: dict[str, list[str]]) -> HTMLResponse:
    return show(request, f"{name}.html", title=f"{name}_title", api=api, outcomes=outcomes, good=_GOOD)
