"""A command as our connections write it is the one that redis-py would have written."""

from typing import Any

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import DataError

from auth_service.core.stores.pulse import Pulse
from auth_service.core.stores.redis_pool import watched

COMMANDS: list[tuple[Any, ...]] = [
    ("PING",),
    ("EVALSHA", "a" * 40, 1, "auth:{0}:family", 5, -1, 2**40),
    ("SET", "ключ", "значение", "PX", 1000),
    ("SET", "key", b"\x00\xff", "EX", 1.5),
    ("CLIENT SETINFO", "LIB-NAME", "x"),
    (b"GET", "key"),
    ("MGET", "", "line\r\nend"),
    ("SET", "long", "x" * 100_000),
]


def ours(**options: Any) -> Connection:
    connection: Connection = watched(Connection, Pulse())(socket_timeout=1, **options)
    return connection


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_a_command_is_packed_as_by_redis_py(command: tuple[Any, ...]) -> None:
    assert b"".join(ours().pack_command(*command)) == b"".join(Connection().pack_command(*command))


def test_text_in_another_encoding() -> None:
    packed = ours(encoding="latin-1").pack_command("SET", "é", "1")
    assert packed == Connection(encoding="latin-1").pack_command("SET", "é", "1")
    assert b"\xe9" in b"".join(packed)


def test_what_redis_py_refuses_is_refused() -> None:
    for wrong in (True, None, ["x"]):
        with pytest.raises(DataError):
            ours().pack_command("SET", "key", wrong)
