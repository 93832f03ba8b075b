"""SyncAuthClient: the same for code without asyncio (Flask, Django, scripts)."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from auth_service_client.answers import Caller, Decision, Explanation
from auth_service_client.client import Asked, AuthClient, UserId

Result = TypeVar("Result")


class SyncAuthClient:
    """An AuthClient on a thread of its own, which begins with the first call; any thread may call.

    Takes the arguments of AuthClient. After a fork, as pre-forking servers do, the child begins anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._arguments = args, kwargs
        self._client = AuthClient(*args, **kwargs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None and thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._client.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def staleness(self) -> float:
        """See AuthClient."""
        return self._client.staleness

    def ready(self, within: float = 10.0) -> None:
        """See AuthClient."""
        self._run(self._current().ready(within))

    def known(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Decision | None:
        """HOT. See AuthClient."""
        return self._client.known(user_id, permission, session_id=session_id)

    def check(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Decision:
        """See AuthClient; what is known is answered without the other thread."""
        known = self._current().known(user_id, permission, session_id=session_id)
        if known is not None:
            return known
        return self._run(self._client.check(user_id, permission, session_id=session_id))

    def check_many(self, questions: Iterable[Asked]) -> list[Decision]:
        """See AuthClient."""
        return self._run(self._current().check_many(questions))

    def explain(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Explanation:
        """See AuthClient."""
        return self._run(self._current().explain(user_id, permission, session_id=session_id))

    def verify(self, token: str) -> Caller:
        """See AuthClient."""
        return self._run(self._current().verify(token))

    def authorize(self, token: str | None, *permissions: str) -> Caller:
        """See AuthClient."""
        return self._run(self._current().authorize(token, *permissions))

    def _current(self) -> AuthClient:
        """The client of this process, with its thread."""
        if self._loop is not None and self._pid == os.getpid():
            return self._client
        with self._lock:
            if self._pid != os.getpid():  # the parent's thread and connections are not ours
                args, kwargs = self._arguments
                self._client, self._loop, self._pid = AuthClient(*args, **kwargs), None, os.getpid()
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="auth-service-client", daemon=True)
                self._thread.start()
        return self._client

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        assert self._loop is not None  # noqa: S101  `_current` has been called
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
