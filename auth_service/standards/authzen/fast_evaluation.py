"""HOT. The evaluation as a fast route, and from memory where it asks by id for what is kept.

tests/standards/authzen/test_fast_evaluation.py compares it with the ordinary route.
"""

from typing import Any

from pydantic import ValidationError

from auth_service.core.connections import Resources
from auth_service.core.http.authzen_rules import AUTHZEN
from auth_service.core.http.fast_routes import FastRoute, Head
from auth_service.core.ids import read_id
from auth_service.permissions.cache import CheckCache, Reply
from auth_service.permissions.callers import caller_of
from auth_service.permissions.fastpath import kept_reply
from auth_service.standards.authzen.schemas import EvaluationBody, evaluation_answer
from auth_service.standards.authzen.service import USER, Asked, evaluate

Question = tuple[str, Asked]


def _read(head: Head, body: bytes) -> Question | None:
    if head.token is None:
        return None
    try:
        return head.token, EvaluationBody.model_validate_json(body).asked()
    except ValidationError:
        return None  # the ordinary route says what is wrong


async def _answer(state: Any, question: Question) -> bytes:
    token, asked = question
    resources: Resources = state.resources
    cache: CheckCache = state.checks
    if (reply := _kept(cache, token, asked)) is not None:
        resources.metrics.checks.labels(reply.reason).inc()
        return _body(reply)
    caller = await caller_of(resources, cache, token)
    (decision,) = await evaluate(resources, caller, [asked], cache)
    answer = evaluation_answer(decision)
    return answer.__pydantic_serializer__.to_json(answer, exclude_none=True)


def _kept(cache: CheckCache, token: str, asked: Asked) -> Reply | None:
    user_id = read_id(asked.subject_id) if asked.subject_type == USER else None
    return None if user_id is None else kept_reply(cache, token, (asked.code, user_id, asked.session_id))


def _body(reply: Reply) -> bytes:
    """What the check says beside `allowed` is the context, field by field."""
    decision = b"true" if reply.allowed else b"false"
    return b'{"decision":%b,"context":{%b}' % (decision, reply.body.removeprefix(b'{"allowed":%b,' % decision))


EVALUATION = FastRoute("POST", f"{AUTHZEN}/evaluation", _read, _answer)
