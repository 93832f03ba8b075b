"""The mails of an address, as its owner would find them."""

import re
from dataclasses import dataclass

from sqlalchemy import select

from auth_service.mail.outbox import NOBODY, open_letter
from auth_service.models import Mail
from tests.support.api import Api

LOOKED_AT = 300  # the newest of all addresses


@dataclass(frozen=True)
class Received:
    kind: str
    to: str
    subject: str
    text: str

    @property
    def link(self) -> str:
        found = re.findall(r"https?://\S+#token=\S+", self.text)
        assert len(found) == 1, self.text
        return str(found[0])

    @property
    def token(self) -> str:
        return self.link.partition("#token=")[2]


async def letters(api: Api, address: str, kind: str | None = None) -> list[Received]:
    """Newest first; those of one kind where it is named."""
    statement = select(Mail).where(Mail.kind != NOBODY).order_by(Mail.id.desc()).limit(LOOKED_AT)
    async with api.resources.db() as session:
        mails = (await session.scalars(statement)).all()
    opened = [(mail.kind, open_letter(api.resources, mail)) for mail in mails]
    received = [Received(kind_, letter.to, letter.subject, letter.text) for kind_, letter in opened]
    return [letter for letter in received if letter.to == address and kind in {None, letter.kind}]


async def newest(api: Api, address: str, kind: str) -> Received:
    found = await letters(api, address, kind)
    assert found, (address, kind)
    return found[0]
