"""The load: wrk where a side is asked one thing again and again, else a generator of our own.

wrk costs next to nothing, but sends what it was given at its start. A refresh token that rotates, a token that is seen
once, and a pace that does not wait for answers are for `bench.generator`. Both keep 32 connections alive and send the
next request of a connection when the last one is answered.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psutil

from bench.trial import Trial

CONNECTIONS = 32
GRACE_SECONDS = 60
NO_WRK = "wrk is not on the PATH (apt-get install wrk): our own generator sends everything"
Way = Literal["cycle", "once", "follow", "paced"]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def raw(self, host: str) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}"] if self.body else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


def post(path: str, value: Any, token: str | None = None) -> Call:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return Call("POST", path, headers, json.dumps(value, separators=(",", ":")).encode())


def get(path: str, token: str) -> Call:
    return Call("GET", path, {"Authorization": f"Bearer {token}"})


@dataclass(slots=True)
class Load:
    """cycle: the calls in turn, for `seconds`. once: each call once, for `seconds` at most. paced: `rate` a second,
    whether or not the last ones are answered. follow: `tokens` has a refresh token for each connection, which is
    replaced by what came back; the call is what goes before the token.
    """

    calls: Sequence[Call]
    seconds: float
    way: Way = "cycle"
    each: int = 1
    rate: float = 0.0
    connections: int = CONNECTIONS
    tokens: list[str] = field(default_factory=list)


def generator_of(load: Load) -> str:
    alone = load.way == "cycle" and len(load.calls) == 1 and load.connections == CONNECTIONS
    return "wrk" if alone and shutil.which("wrk") else "own"


def measure(base: str, process: psutil.Process, load: Load) -> Trial:
    """Raises if an answer was anything but 200; `load.tokens` are the new ones afterwards."""
    if generator_of(load) == "wrk":
        for longer in (1, 2, 4):
            before = _cpu(process)
            told = _wrk(base, load, load.seconds * longer)
            if told["requests"]:  # else the machine was elsewhere, and wrk does not wait for what is in hand
                break
        return _trial(told, _cpu(process) - before, load)
    running = Running(base, load)
    before = _cpu(process)
    running.go()
    told = running.finish()
    return _trial(told, _cpu(process) - before, load)


class Running:
    """Our own generator, connected and waiting for `go`."""

    def __init__(self, base: str, load: Load) -> None:
        self._load = load
        address = urlsplit(base)
        host = f"{address.hostname}:{address.port}"
        job = {
            "host": address.hostname,
            "port": address.port,
            "calls": [b64encode(call.raw(host)).decode() for call in load.calls] if load.way != "follow" else [],
            "path": load.calls[0].path,
            "way": load.way,
            "seconds": load.seconds,
            "rate": load.rate,
            "connections": load.connections,
            "tokens": load.tokens,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.generator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._say(json.dumps(job))
        self._hear()

    def go(self) -> None:
        self._say("go")

    def finish(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._hear())
        self._process.wait(GRACE_SECONDS)
        if self._load.way == "follow":
            self._load.tokens[:] = told["tokens"]
        return told

    def trial(self, told: dict[str, Any]) -> Trial:
        return _trial(told, 0.0, self._load)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            raise RuntimeError(f"the generator ended with {self._process.wait()}")
        return line


def _trial(told: dict[str, Any], cpu: float, load: Load) -> Trial:
    if told["failed"]:
        raise RuntimeError(f"{told['failed']} of {told['requests']} answers were not 200, at {load.calls[0].path}")
    if not told["requests"]:
        raise RuntimeError(f"nothing was answered in {told['seconds']:.0f} s, at {load.calls[0].path}")
    return Trial(told["requests"], told["seconds"], cpu, told["p99"], load.each)


def _cpu(process: psutil.Process) -> float:
    """Seconds of all its threads."""
    if sys.platform == "linux":
        # The clock that the kernel keeps of a process, in nanoseconds; what psutil reads counts in hundredths.
        return time.clock_gettime((~process.pid << 3) | 2)
    times = process.cpu_times()
    return float(times.user + times.system)


# Long strings in brackets take everything but their own end, which no JSON of ours has.
_SCRIPT = """
wrk.method = [==[{method}]==]
wrk.body = {body}
{headers}
done = function(summary, latency)
    local failed = summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout
        + summary.errors.connect
    io.write(string.format('\\nTOLD {{"requests": %d, "seconds": %f, "failed": %d, "p99": %f}}\\n',
        summary.requests, summary.duration / 1e6, failed, latency:percentile(99) / 1e3))
end
"""


def wrk_script(call: Call) -> str:
    body = f"[==[{call.body.decode()}]==]" if call.body else "nil"
    headers = "\n".join(f"wrk.headers[ [==[{name}]==] ] = [==[{value}]==]" for name, value in call.headers.items())
    return _SCRIPT.format(method=call.method, body=body, headers=headers)


def _wrk(base: str, load: Load, most: float) -> dict[str, Any]:
    (call,) = load.calls
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "call.lua"
        script.write_text(wrk_script(call), encoding="utf-8")
        seconds = max(1, round(most))  # it takes whole ones only
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), f"{base}{call.path}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + GRACE_SECONDS)
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOLD "))
    told: dict[str, Any] = json.loads(line.removeprefix("TOLD "))
    return told
