"""Which request is being answered, for what is written about it far below the router."""

from contextvars import ContextVar, Token
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """Both are None outside of a request, such as at the command line."""

    request_id: str | None = None
    client_address: str | None = None


_NO_CALL = Call()
_current: ContextVar[Call] = ContextVar("call", default=_NO_CALL)


def begin_call(request_id: str, client_address: str | None) -> Token[Call]:
    """For the task at hand and what it starts, until `end_call`."""
    return _current.set(Call(request_id, client_address))


def end_call(token: Token[Call]) -> None:
    _current.reset(token)


def current_call() -> Call:
    return _current.get()
