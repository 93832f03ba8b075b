"""The mails that nobody sent, for a developer to read and click; no part of a service outside development."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from auth_service.core.connections import Res, Resources
from auth_service.mail.addresses import shown
from auth_service.mail.outbox import NOBODY, open_letter
from auth_service.models import Mail

router = APIRouter(include_in_schema=False)

SHOWN = 200
_LINK = re.compile(r"https?://[^\s<>\"']+")
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Mails</title>
<style>body{{font:16px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere;background:#8881;padding:1rem}}</style>
<h1>Mails</h1><p>Without SMTP_URL mails are kept here for a day. Newest first.</p>
{mails}</html>
"""


@dataclass(frozen=True, slots=True)
class KeptMail:
    to: str
    subject: str
    text: str
    kind: str
    created_at: datetime


@router.get("/dev/mails", response_class=HTMLResponse)
async def page(resources: Res) -> str:
    return _PAGE.format(mails="\n".join(map(_as_html, await _kept(resources))) or "<p>None yet.</p>")


@router.get("/dev/mails.json")
async def listing(resources: Res, to: str | None = None) -> list[KeptMail]:
    """`to`: only those to this address, as it is stored or shown."""
    return [mail for mail in await _kept(resources) if to is None or shown(to) == mail.to]


async def _kept(resources: Resources) -> Sequence[KeptMail]:
    statement = select(Mail).where(Mail.kind != NOBODY).order_by(Mail.id.desc()).limit(SHOWN)
    async with resources.db() as session:
        mails = (await session.scalars(statement)).all()
    letters = [(open_letter(resources, mail), mail) for mail in mails]
    return [
        KeptMail(shown(letter.to), letter.subject, letter.text, mail.kind, mail.created_at) for letter, mail in letters
    ]


def _as_html(mail: KeptMail) -> str:
    # The links first, each half escaped for itself: what a user wrote never becomes markup.
    parts, end = [], 0
    for found in _LINK.finditer(mail.text):
        url = html.escape(found[0])
        parts += [html.escape(mail.text[end : found.start()]), f'<a href="{url}">{url}</a>']
        end = found.end()
    text = "".join([*parts, html.escape(mail.text[end:])])
    head = f"{html.escape(mail.subject)} <small>to {html.escape(mail.to)}, {mail.created_at:%H:%M:%S}</small>"
    return f"<h2>{head}</h2><pre>{text}</pre>"
