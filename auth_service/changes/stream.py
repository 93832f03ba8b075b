"""One stream of changes, as server-sent events (the HTML standard, section 9.2).

A client that keeps answers must know how old its knowledge can be, however late the network hands something over. So
`at` counts from when its own request came, which was after it had sent it: whatever was committed before the client's
clock at the sending plus `at` has been told. No other clock is compared, and no round trip is needed.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from auth_service.core.coherence import boot_seconds
from auth_service.core.connections import Resources
from auth_service.core.errors import Busy, Unavailable
from auth_service.core.principal import Principal

BEAT_SECONDS = 0.2  # at most so often; workers prove what they know a little less often
MOST_STREAMS = 1000  # of one worker
NOTHING = float("-inf")
FORGETS_ALL = {"r": "roles", "k": "keys", "*": "all"}


class NoChanges(Unavailable):
    code = "changes_unavailable"
    detail = "This worker does not hear of changes now; ask again, and keep nothing meanwhile."


class TooManyStreams(Busy):
    detail = "This worker has as many streams of changes as it takes on; try again shortly."


def follow(
    resources: Resources, caller: Principal, last_position: str | None, *, is_ending: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """What came after `last_position`, where that is known, and what comes; for as long as the caller's token is good,
    the worker hears of changes, and not `is_ending()`. Raises NoChanges or TooManyStreams before it begins.
    """
    arrived = boot_seconds()
    log = resources.coherence.log
    if log.proven == NOTHING or is_ending():
        raise NoChanges
    if log.followers >= MOST_STREAMS:
        raise TooManyStreams(pool="changes")

    async def events() -> AsyncIterator[bytes]:
        with log.following() as news:
            known = log.find(last_position) if last_position else None
            told, beaten = log.count if known is None else known, NOTHING
            yield _event("start", {"resumed": known is not None})
            while log.followed(news) and not is_ending() and resources.clock().timestamp() < caller.claims.expires_at:
                news.clear()
                changes, proven = log.since(told), log.proven
                if changes is None or proven == NOTHING:
                    return  # it took too long to take what it was sent, or this worker hears of nothing any more
                told, position = told + len(changes), log.position  # of this moment: while it sends, more may come
                if changes:
                    yield _event("change", _told(changes), position)
                if proven >= beaten + BEAT_SECONDS:
                    beaten = proven
                    wall = resources.clock().timestamp() - (boot_seconds() - proven)
                    moment = {"at": round((proven - arrived) * 1000, 1), "time": round(wall, 3)}
                    yield _event("beat", moment, position)
                if _ends(changes, str(caller.subject)):
                    return
                await news.wait()

    return events()


def _told(changes: list[str]) -> dict[str, Any]:
    """Each subject once."""
    told: dict[str, Any] = {FORGETS_ALL[what]: True for what in changes if what in FORGETS_ALL}
    subjects = dict.fromkeys(what[2:] for what in changes if what.startswith("u:"))
    return told | ({"subjects": list(subjects)} if subjects else {})


def _ends(changes: list[str], caller: str) -> bool:
    """Whether the caller's own token may have been revoked: it has to show it, or a new one, again."""
    return any(what in {f"u:{caller}", "k", "*"} for what in changes)


def _event(kind: str, data: dict[str, Any], position: str | None = None) -> bytes:
    name = b"" if position is None else b"id: %b\n" % position.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (name, kind.encode(), orjson.dumps(data))
