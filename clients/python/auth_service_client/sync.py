"""SyncAuthClient: the same for code without asyncio (Flask, Django, scripts)."""

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from auth_service_client.answers import Caller, Decision, Explanation
from auth_service_client.client import Asked, AuthClient, UserId
from auth_service_client.errors import Unavailable

Result = TypeVar("Result")


class SyncAuthClient:
    """An AuthClient on a thread of its own, which begins with the first call; any thread may call.

    Takes the arguments of AuthClient. After a fork, as pre-forking servers do, the child begins anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._make: Callable[[], AuthClient] = lambda: AuthClient(*args, **kwargs)
        self._client = self._make()
        self._closed = False
        self._begin()
        _clients.add(self)

    def _begin(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def _begin_anew(self) -> None:
        """In a child: the parent's thread and connections are not ours, and its lock may be held for ever."""
        self._client = self._make()
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Calls that go on in other threads raise Unavailable."""
        with self._lock:
            self._closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_end(self._client), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def staleness(self) -> float:
        """See AuthClient."""
        return self._client.staleness

    def ready(self, within: float = 10.0) -> None:
        """See AuthClient."""
        self._run(lambda client: client.ready(within))

    def known(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Decision | None:
        """HOT. See AuthClient."""
        return self._client.known(user_id, permission, session_id=session_id)

    def check(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Decision:
        """See AuthClient; what is known is answered without the other thread."""
        known = self._client.known(user_id, permission, session_id=session_id)
        if known is not None:
            return known
        return self._run(lambda client: client.check(user_id, permission, session_id=session_id))

    def check_many(self, questions: Iterable[Asked]) -> list[Decision]:
        """See AuthClient."""
        return self._run(lambda client: client.check_many(questions))

    def explain(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Explanation:
        """See AuthClient."""
        return self._run(lambda client: client.explain(user_id, permission, session_id=session_id))

    def verify(self, token: str | None) -> Caller:
        """See AuthClient."""
        return self._run(lambda client: client.verify(token))

    def authorize(self, token: str | None, *permissions: str) -> Caller:
        """See AuthClient."""
        return self._run(lambda client: client.authorize(token, *permissions))

    def _run(self, call: Callable[[AuthClient], Coroutine[Any, Any, Result]]) -> Result:
        with self._lock:
            if self._closed:
                raise Unavailable("closed", "the client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="auth-service-client", daemon=True)
                self._thread.start()
            # Under the lock: what is handed over before it closes is cancelled by it.
            work = asyncio.run_coroutine_threadsafe(call(self._client), self._loop)
        try:
            return work.result()
        except concurrent.futures.CancelledError:
            raise Unavailable("closed", "the client was closed meanwhile") from None


async def _end(client: AuthClient) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.close()


# A pre-forking server makes it before it forks.
_clients: weakref.WeakSet[SyncAuthClient] = weakref.WeakSet()


def _after_fork() -> None:
    for client in _clients:
        client._begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
