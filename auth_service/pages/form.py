"""A form as it was sent, and what is wrong with it."""

from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError

from auth_service.core.errors import AppError, BadRequest, StepUpRequired, Unauthenticated, ValidationFailed
from auth_service.core.http.page_paths import CONSOLE, is_below
from auth_service.core.schemas import has_controls
from auth_service.pages.words import Words, field_beside, field_words, refusal_words

MOST_FIELDS = 20
MOST_BOXES = 600  # a role has up to 500 permissions, each a box that is ticked
_LINES = "names"  # the one field that is a list: a name a line
# Never shown again: what is typed there is a secret.
_SECRET = frozenset({"password", "current_password", "new_password", "code"})
Body = TypeVar("Body", bound=BaseModel)


class UnreadableForm(BadRequest):
    detail = "The form cannot be read: a field is there twice, or is not text in UTF-8."


class Form:
    """`with form:` around the attempt; what is refused in it becomes words beside the fields, and the block ends.

    Whoever comes after the block shows the page again. A store failure, a session that has ended and a step-up pass
    through.
    """

    def __init__(self, fields: dict[str, str] | None = None) -> None:
        self.fields = fields or {}
        self.errors: dict[str, Words] = {}
        self.refusal: Words | None = None  # about all of the form
        self.status = 200
        self.headers: dict[str, str] = {}

    def read(self, model: type[Body], **known: Any) -> Body:
        """What the API would take as a body; a field that was left empty is left out."""
        given = {name: text for name, text in self.fields.items() if name in model.model_fields and text}
        return model.model_validate(given | known)

    @property
    def is_wrong(self) -> bool:
        return bool(self.errors) or self.refusal is not None

    def error(self, name: str) -> Words | None:
        return self.errors.get(name)

    def value(self, name: str) -> str:
        """To be shown in the field."""
        return "" if name in _SECRET else self.fields.get(name, "")

    def __enter__(self) -> "Form":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, ValidationError):
            self.status = 422
            for item in error.errors(include_url=False, include_input=False):
                message = str(item.get("ctx", {}).get("error", ""))
                if not item["loc"]:  # of two fields that do not go together
                    self.refusal = field_words(item["type"], message, "")
                    continue
                name = str(item["loc"][0])
                self.errors.setdefault(name, field_words(item["type"], message, name))
            return True
        if not isinstance(error, AppError) or isinstance(error, Unauthenticated | StepUpRequired) or error.status > 499:
            return False
        self.status, self.headers = error.status, dict(error.headers)
        if isinstance(error, ValidationFailed) and error.fields:
            for field in error.fields:
                name = field["field"].removeprefix("body.")
                self.errors[name] = field_words(field["type"], field["message"], name)
        elif (beside := field_beside(error)) is not None:
            self.errors[beside] = refusal_words(error)
        else:
            self.refusal = refusal_words(error)
        return True


async def posted(request: Request) -> Form:
    """Raises UnreadableForm."""
    try:
        text = (await request.body()).decode("ascii")
        most = MOST_BOXES if is_below(request.scope["path"], CONSOLE) else MOST_FIELDS
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=most, errors="strict")
    except ValueError:
        raise UnreadableForm from None
    fields = dict(pairs)
    if _LINES in fields:
        fields[_LINES] = " ".join(fields[_LINES].split())
    if len(fields) != len(pairs) or any(has_controls(text) for pair in fields.items() for text in pair):
        raise UnreadableForm
    return Form(fields)
