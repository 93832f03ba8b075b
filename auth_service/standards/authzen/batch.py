"""POST /access/v1/evaluations: what its items ask, and where its answer ends (section 7)."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from auth_service.core.connections import Resources
from auth_service.core.http.authzen_rules import InvalidAuthZenRequest
from auth_service.core.http.error_answers import explain_field
from auth_service.core.principal import Principal
from auth_service.standards.authzen.schemas import (
    DecisionContext,
    EvaluationAnswer,
    EvaluationBody,
    EvaluationsAnswer,
    EvaluationsBody,
    ItemError,
    Semantic,
    evaluation_answer,
)
from auth_service.standards.authzen.service import evaluate

_KEYS = ("subject", "action", "resource", "context")


async def evaluate_all(
    resources: Resources, caller: Principal, body: EvaluationsBody
) -> EvaluationsAnswer | EvaluationAnswer:
    """Without items the one evaluation, which raises InvalidAuthZenRequest where it is wrong; an item is only denied.

    All are decided, so that whoever may not ask about one of them is refused whatever the others say.
    """
    defaults = {key: value for key in _KEYS if (value := getattr(body, key)) is not None}
    if not body.evaluations:
        try:
            one = EvaluationBody.model_validate(defaults)
        except ValidationError as error:
            raise InvalidAuthZenRequest(_words(error)) from None
        (decision,) = await evaluate(resources, caller, [one.asked()])
        return evaluation_answer(decision)
    items = [_item(item, defaults) for item in body.evaluations]
    asked = [item.asked() for item in items if isinstance(item, EvaluationBody)]
    decisions = iter(await evaluate(resources, caller, asked))
    answers = [item if isinstance(item, EvaluationAnswer) else evaluation_answer(next(decisions)) for item in items]
    semantic = body.options.evaluations_semantic if body.options else None
    return EvaluationsAnswer(evaluations=_until_decided(answers, semantic))


def _item(item: Any, defaults: Mapping[str, Any]) -> EvaluationBody | EvaluationAnswer:
    """With the defaults in place of what it leaves out; one that is wrong as the answer to it."""
    if not isinstance(item, dict):
        return _failed("the item must be a JSON object")
    own = {key: item[key] for key in _KEYS if item.get(key) is not None}
    try:
        return EvaluationBody.model_validate({**defaults, **own})
    except ValidationError as error:
        return _failed(_words(error))


def _words(error: ValidationError) -> str:
    fields = [explain_field(problem) for problem in error.errors()]
    return "; ".join(f"{field['field']} {field['message']}" for field in fields)


def _failed(message: str) -> EvaluationAnswer:
    return EvaluationAnswer(decision=False, context=DecisionContext(error=ItemError(status=400, message=message)))


def _until_decided(answers: list[EvaluationAnswer], semantic: Semantic | None) -> list[EvaluationAnswer]:
    if semantic in {None, "execute_all"}:
        return answers
    ends = semantic == "permit_on_first_permit"
    last = next((place for place, answer in enumerate(answers) if answer.decision is ends), len(answers))
    return answers[: last + 1]
