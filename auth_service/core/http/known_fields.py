"""The fields of a request's models, for "did you mean": read off the route, so that they are always the real ones."""

from collections.abc import Collection, Sequence
from typing import Any, get_args

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel


def fields_beside(route: Any, location: Sequence[str | int]) -> Collection[str]:
    """Those that may stand where the error's `location` is, such as ("body", "checks", 0, "permision")."""
    dependant = getattr(route, "dependant", None)
    if not isinstance(dependant, Dependant):
        return ()
    place, *path = location
    params = {"body": dependant.body_params, "query": dependant.query_params}.get(str(place), ())
    model = _model_in(params[0].field_info.annotation) if len(params) == 1 else None
    for part in path[:-1]:
        if model is not None and isinstance(part, str):  # a number is the place in a list
            field = model.model_fields.get(part)
            model = _model_in(field.annotation) if field else None
    return () if model is None else model.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Of `Model`, `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)
