"""What lists of people have in common."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAY_LIST = ("users:read", "roles:read")  # who has what: an account's name and a role's


class ListQuery(BaseModel):
    """A page, or with `format=csv` all of it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    limit: int = Field(default=20, ge=1, le=100)
    format: Literal["json", "csv"] = "json"
    cursor: str | None = None

    @model_validator(mode="after")
    def _page_or_all(self) -> Self:
        if self.format == "csv" and self.model_fields_set & {"cursor", "limit"}:
            raise ValueError("format=csv is the whole list: leave out cursor and limit")
        return self
