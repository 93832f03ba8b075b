"""What every request body and answer has in common."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class Body(BaseModel):
    """A request body: unknown fields are refused (REG-5)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """Read from a row or an object by its attributes."""

    model_config = ConfigDict(from_attributes=True)


def _plain_text(value: str) -> str:
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
        raise ValueError("must not have control characters")
    return value


def _is_text(value: Any) -> Any:
    # pydantic would take a number, and digits in a string, for Unix seconds.
    if not isinstance(value, str | datetime | None) or (isinstance(value, str) and value[4:5] != "-"):
        raise ValueError("must be a time such as 2030-01-31T12:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    # The ends of Python's calendar are infinity to asyncpg: they come back from Postgres without a zone.
    if not EARLIEST <= value < LATEST:
        raise ValueError("must lie between the years 1970 and 9998")
    return value.astimezone(UTC)


def _without_null(schema: dict[str, Any]) -> None:
    (only,) = (item for item in schema.pop("anyOf") if item != {"type": "null"})
    schema.update(only)
    schema.pop("default", None)


# For a field that may be left out and never be null, which None stands for in Python.
NOT_NULL = Field(json_schema_extra=_without_null)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has one kind of number: 5.0 is as whole as 5, and JSON Schema says so; "5" and true are none.
WHOLE = BeforeValidator(_whole)
PlainText = Annotated[str, AfterValidator(_plain_text)]
Moment = Annotated[AwareDatetime, BeforeValidator(_is_text), AfterValidator(_in_utc)]
