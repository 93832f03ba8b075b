"""Which request is being answered, for what is written about it far below the router."""

from contextvars import ContextVar, Token
from dataclasses import dataclass


@dataclass(slots=True)
class Call:
    """The first two are None outside of a request, such as at the command line."""

    request_id: str | None = None
    client_address: str | None = None
    changed: bool = False  # something that a decision may rest on: every worker must have heard before the answer
    met_ended: bool = False  # the caller's token is a genuine one of something that has ended
    trial: bool = False  # what it changes is undone, so nobody need hear of it


_NO_CALL = Call()
_current: ContextVar[Call] = ContextVar("call", default=_NO_CALL)


def begin_call(call: Call) -> Token[Call]:
    """For the task at hand and what it starts, until `end_call`."""
    return _current.set(call)


def end_call(token: Token[Call]) -> None:
    _current.reset(token)


def current_call() -> Call:
    return _current.get()


def note_change() -> None:
    """The answer to this request waits until no worker answers from what was before."""
    _current.get().changed = True


def note_trial() -> None:
    """What this request changes is undone: its answer waits for nobody."""
    _current.get().trial = True


def note_ended() -> None:
    """That the token is dead may be the answer to a try before, such as a logout, which was lost on its way."""
    _current.get().met_ended = True
