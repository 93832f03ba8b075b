"""The mails that nobody sent, as a list for programs and for pages.dev_mails_router; only in development."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from sqlalchemy import select

from auth_service.core.connections import Res, Resources
from auth_service.mail.addresses import shown
from auth_service.mail.outbox import NOBODY, open_letter
from auth_service.models import Mail

router = APIRouter(include_in_schema=False)

SHOWN = 200


@dataclass(frozen=True, slots=True)
class KeptMail:
    to: str
    subject: str
    text: str
    kind: str
    created_at: datetime


@router.get("/dev/mails.json")
async def listing(resources: Res, to: str | None = None) -> list[KeptMail]:
    """`to`: only those to this address, as it is stored or shown."""
    return [mail for mail in await kept(resources) if to is None or shown(to) == mail.to]


async def kept(resources: Resources) -> Sequence[KeptMail]:
    """Newest first."""
    statement = select(Mail).where(Mail.kind != NOBODY).order_by(Mail.id.desc()).limit(SHOWN)
    async with resources.db() as session:
        mails = (await session.scalars(statement)).all()
    letters = [(open_letter(resources, mail), mail) for mail in mails]
    return [
        KeptMail(shown(letter.to), letter.subject, letter.text, mail.kind, mail.created_at) for letter, mail in letters
    ]
