"""Questions and answers about logins."""

import ipaddress
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from auth_service.core.schemas import Answer, Moment
from auth_service.sessions.repository import HistoryFilter

# 24 bytes, the first eight of them microseconds of a time before the year 9962.
CURSOR = r"^A[A-Za-z0-3][A-Za-z0-9_-]{30}$"
_ADDRESS = {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}


def _is_address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("must be an IP address") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError("must be an IP address")  # Postgres knows no zones
        address = address.ipv4_mapped or address
    return str(address)


class HistoryQuery(BaseModel):
    """`since` is inclusive, `until` is not; all that is given must hold."""

    model_config = ConfigDict(hide_input_in_errors=True)

    cursor: str | None = Field(default=None, pattern=CURSOR)
    limit: int = Field(default=20, ge=1, le=100)
    succeeded: bool | None = None
    reason: str | None = Field(default=None, pattern="^[a-z_]{1,40}$")
    since: Moment | None = None
    until: Moment | None = None
    ip: Annotated[str, Field(max_length=45, json_schema_extra=_ADDRESS), AfterValidator(_is_address)] | None = None

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since must not lie after until")
        if self.reason is not None and self.succeeded:
            raise ValueError("reason is for failures, and succeeded=true asks for the others")
        return self

    def wanted(self) -> HistoryFilter:
        return HistoryFilter(self.succeeded, self.reason, self.since, self.until, self.ip)


class HistoryEntry(Answer):
    """`reason` only for failures: wrong_password, locked, inactive and the like."""

    id: UUID
    login_at: datetime
    succeeded: bool
    reason: str | None
    session_id: UUID | None
    device_id: UUID | None
    device_name: str | None
    user_agent: str | None
    ip: str | None

    @field_validator("ip", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return None if value is None else str(value)


class HistoryAnswer(Answer):
    items: list[HistoryEntry]
    next_cursor: str | None
