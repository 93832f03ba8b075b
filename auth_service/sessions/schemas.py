"""Answers about one's own sessions and logins."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import field_validator

from auth_service.core.schemas import Answer


class HistoryEntry(Answer):
    """`reason` only for failures: wrong_password, locked, inactive."""

    id: UUID
    login_at: datetime
    succeeded: bool
    reason: str | None
    session_id: UUID | None
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
