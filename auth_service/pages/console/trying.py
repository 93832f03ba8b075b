"""A change that is shown before it is made: what it would do, with all that was typed, and two ways on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Resources
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin
from auth_service.pages.console.screen import screen
from auth_service.pages.form import Form
from auth_service.pages.words import Words
from auth_service.permissions.what_if.schemas import read_cursor, write_cursor
from auth_service.permissions.what_if.trial import Trial

_REFUSED = Words(N_("This was refused"))
_OF_THE_STEP = frozenset({"csrf", "do", "cursor"})


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is a text of the catalogue; of a list what comes and goes, of a text what it was and is, which are of the
    catalogue too where `ours`: what an admin typed is never looked up there.
    """

    what: str
    added: Collection[str] = ()
    removed: Collection[str] = ()
    before: str | None = None
    after: str | None = None
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What the button was that sent the form."""

    form: Form

    @property
    def is_back(self) -> bool:
        return self.form.fields.get("do") == "edit"

    @property
    def is_meant(self) -> bool:
        return self.form.fields.get("do") == "make"

    def trial(self, *, moved: bool = False) -> Trial | None:
        """None where the change is meant, and nothing has moved since it was shown."""
        return None if self.is_meant and not moved else Trial()

    def after(self) -> str | None:
        """What the page of people before ended with; one that we did not give begins anew."""
        try:
            return read_cursor(self.form.fields.get("cursor", ""))
        except ValueError:
            return None


async def preview(
    request: Request,
    me: Admin,
    resources: Resources,
    form: Form,
    trial: Trial,
    *,
    heading: Words,
    address: str,
    button: str,
    back: str | None = None,
    danger: bool = False,
    moved: bool = False,
    differences: Sequence[Difference] = (),
    kept: Mapping[str, str] | None = None,
) -> Response:
    """What the trial says the change would do; raises EffectBusy or EffectTimeout.

    `address`: where both buttons lead; `button`: a text of the catalogue. `back`: the page to go back to, where nothing
    can be edited. `kept`: fields beside those of the form. `moved`: somebody else has changed it meanwhile.
    """
    effect = await trial.effect(resources, me.principal, after=Step(form).after())
    facts: dict[str, Any] = {
        "heading": heading,
        "address": address,
        "button": button,
        "leads_back": back,
        "danger": danger,
        "moved": moved,
        "differences": differences,
        "fields": carried(form, **(kept or {})),
        "effect": effect,
        "next_cursor": None if effect.more_after is None else write_cursor(effect.more_after),
        "further": bool(form.fields.get("cursor")),
    }
    return screen(request, "console/preview.html", me, **facts)


def carried(form: Form, **known: str) -> dict[str, str]:
    """What goes along unseen from step to step; `known` beside the fields of the form, or in their place."""
    return {name: text for name, text in form.fields.items() if name not in _OF_THE_STEP} | known


def ask(request: Request, me: Admin, heading: Words, *, address: str, back: str) -> Response:
    """Before the preview of what needs no form: a trial holds the lock of access rules, which opening a page must not.

    `address`: where the button leads. `back`: the page where it is left as it is.
    """
    return screen(request, "console/ask.html", me, heading=heading, address=address, leads_back=back)


def refused(request: Request, me: Admin, form: Form, heading: Words, *, back: str) -> Response:
    """Where there is no form to be shown again. `back`: a page that shows what is in the way."""
    return screen(request, "console/refused.html", me, form, heading=heading, leads_back=back, summary=_REFUSED)
