"""The dates of a grant that is there, put into the form that would change it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from fastapi import Request

from auth_service.pages.console.screen import as_typed
from auth_service.pages.form import Form


class Present(Protocol):
    @property
    def role(self) -> str: ...
    @property
    def valid_from(self) -> datetime: ...
    @property
    def valid_until(self) -> datetime | None: ...
    @property
    def reason(self) -> str | None: ...


def fill_in(request: Request, form: Form, grants: Iterable[Present]) -> None:
    """For the role that the form names: who changes the end would else change the beginning too."""
    for present in grants:
        if present.role == form.fields.get("role"):
            form.fields |= {"valid_from": as_typed(request, present.valid_from), "reason": present.reason or ""}
            form.fields["valid_until"] = as_typed(request, present.valid_until)
