"""What every request body and answer has in common."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class Body(BaseModel):
    """A request body: unknown fields are refused (REG-5)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """Read from a row or an object by its attributes."""

    model_config = ConfigDict(from_attributes=True)


def has_controls(value: str) -> bool:
    return _CONTROL.search(value) is not None


def _plain_text(value: str) -> str:
    if has_controls(value):
        raise ValueError("must not have control characters")
    return value


_CONTROLS = r"\u0000-\u001f\u007f"
_CONTROL = re.compile(f"[{_CONTROLS}]")  # a body may have ten thousand texts
NO_CONTROLS = f"^[^{_CONTROLS}]*$"  # the edge refuses them in every text of every request (EDG-5)


@dataclass(frozen=True, slots=True)
class Typed:
    """Marks a text that a person types or pastes, whatever the field: white space around it is left out before
    anything else is looked at, and it has no control characters. Passwords alone are taken as they are (PWD-4).

    `format` stands in the document in place of a pattern, for what no pattern can say.
    """

    least: int
    most: int
    format: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # The lengths belong to the text itself: behind a validator pydantic would count `items`.
        text = core_schema.str_schema(strip_whitespace=True, min_length=self.least or None, max_length=self.most)
        return core_schema.no_info_after_validator_function(_plain_text, text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | ({"format": self.format} if self.format else {"pattern": self._pattern()})

    def _pattern(self) -> str:
        """What is left of it must be long enough."""
        if self.least == 0:
            return NO_CONTROLS
        mark, between = rf"[^\s{_CONTROLS}]", f"[^{_CONTROLS}]"
        rest = "" if self.least == 1 else f"{between}{{{self.least - 2},}}{mark}"
        return f"^{between}*{mark}{rest}{between}*$"


def without_gaps(value: str) -> str:
    """For codes, which are shown in groups and pasted with what stood around them: no white space, dashes or
    invisible characters.
    """
    return "".join(char for char in value if not (char.isspace() or char == "\u2212" or _is_gap(char)))


def _is_gap(char: str) -> bool:
    return unicodedata.category(char) in {"Pd", "Cf"}  # dashes; soft hyphens, zero widths, marks of direction


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
PLAIN = AfterValidator(_plain_text)
Moment = Annotated[AwareDatetime, BeforeValidator(_is_text), AfterValidator(_in_utc)]
