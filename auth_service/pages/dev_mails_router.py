"""The mails that nobody sent, for a developer to read and click; no part of a service outside development."""

import re

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from auth_service.core.connections import Res
from auth_service.mail.dev_router import kept
from auth_service.pages.page import show

router = APIRouter(include_in_schema=False)

_LINK = re.compile(r"(https?://[^\s<>\"']+)")


@router.get("/dev/mails")
async def mails(request: Request, resources: Res) -> HTMLResponse:
    # What stands between two links, and the links, by turns.
    shown = [(mail, _LINK.split(mail.text)) for mail in await kept(resources)]
    return show(request, "mails.html", mails=shown)
