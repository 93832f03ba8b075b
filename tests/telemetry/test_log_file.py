"""The log file of each day: nothing is lost when several workers begin a new one at once."""

import asyncio
import logging
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from auth_service.core.telemetry.log_file import KEPT_DAYS, DailyFile
from tests.conftest import Fresh

DAY = datetime.now(UTC).date()


class Calendar:
    def __init__(self) -> None:
        self.day = DAY

    def __call__(self) -> date:
        return self.day


def write(handler: DailyFile, text: str) -> None:
    handler.emit(logging.makeLogRecord({"msg": text}))
    handler.flush()


def age(path: Path, day: date) -> None:
    """As if it had been written last at noon of that day."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    os.utime(path, (noon, noon))


def test_a_new_day_is_a_new_file_for_every_writer(tmp_path: Path) -> None:
    path, calendar = tmp_path / "logs" / "auth.log", Calendar()
    writers = [DailyFile(path, calendar) for _ in range(3)]
    for number, writer in enumerate(writers):
        write(writer, f"old {number}")
    age(path, DAY)
    calendar.day = DAY + timedelta(days=1)
    for number, writer in enumerate(writers):
        write(writer, f"new {number}")
        age(path, calendar.day)
    assert path.read_text().splitlines() == ["new 0", "new 1", "new 2"]
    assert Path(f"{path}.{DAY}").read_text().splitlines() == ["old 0", "old 1", "old 2"]
    for writer in writers:
        writer.close()


def test_the_newest_fortnight_is_kept_and_other_files_are_left_alone(tmp_path: Path) -> None:
    path, calendar = tmp_path / "auth.log", Calendar()
    (tmp_path / "auth.log.backup").write_text("not ours")
    writer = DailyFile(path, calendar)
    for number in range(KEPT_DAYS + 5):
        calendar.day = DAY + timedelta(days=number)
        write(writer, f"day {number}")
        age(path, calendar.day)
    kept = sorted(file.name for file in tmp_path.glob("auth.log.2*"))
    newest = calendar.day - timedelta(days=1)
    assert kept == [f"auth.log.{newest - timedelta(days=n)}" for n in range(KEPT_DAYS - 1, -1, -1)]
    assert (tmp_path / "auth.log.backup").exists()
    writer.close()


PROCESS = """
import logging, sys
from datetime import date, timedelta
from pathlib import Path
from auth_service.core.telemetry.log_file import DailyFile
today = date.fromisoformat(sys.argv[3])
days = iter([today] * 200 + [today + timedelta(days=1)] * 200)
handler = DailyFile(Path(sys.argv[1]), lambda: next(days))
for number in range(400):
    handler.emit(logging.makeLogRecord({"msg": f"{sys.argv[2]} {number}"}))
"""


def test_processes_that_turn_the_day_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    command = [sys.executable, "-c", PROCESS, str(path)]
    processes = [subprocess.Popen([*command, str(number), str(DAY)]) for number in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    lines = [
        line for file in tmp_path.glob("auth.log*") if file.suffix != ".lock" for line in file.read_text().split("\n")
    ]
    assert sorted(line for line in lines if line) == sorted(f"{p} {n}" for p in range(4) for n in range(400))


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENTS = {
    f"00-{TRACE}-00f067aa0ba902b7-01": TRACE,
    f"01-{TRACE}-00f067aa0ba902b7-01-more": TRACE,  # of a later version of the standard
    f"00-{TRACE}-00f067aa0ba902b7-01-more": None,
    f"ff-{TRACE}-00f067aa0ba902b7-01": None,
    f"00-{'0' * 32}-00f067aa0ba902b7-01": None,
    f"00-{TRACE}-{'0' * 16}-01": None,
    f"00-{TRACE.upper()}-00f067aa0ba902b7-01": None,
    "junk": None,
}


@pytest.mark.long
async def test_the_file_has_the_request_and_the_trace_of_the_caller(fresh: Fresh, tmp_path: Path) -> None:
    """W3C Trace Context, section 3.2: what is malformed is ignored."""
    path = tmp_path / "media" / "logs" / "auth_service.log"
    service = await fresh.service(await fresh.settings(log_file=str(path)), workers=2)
    expected = {}
    for number, (traceparent, trace_id) in enumerate(TRACEPARENTS.items()):
        headers = {"X-Request-Id": f"request-{number}", "traceparent": traceparent}
        answer = await service.http.get("/health/live", headers=headers)
        expected[answer.headers["X-Request-Id"]] = trace_id
    assert expected.keys() == {f"request-{number}" for number in range(len(TRACEPARENTS))}
    found: dict[str, str | None] = {}
    async with asyncio.timeout(10):
        while found.keys() != expected.keys():  # a line is written after its answer
            await asyncio.sleep(0.05)
            lines = [orjson.loads(line) for line in path.read_text().splitlines()]
            of_requests = [line for line in lines if str(line.get("request_id")).startswith("request-")]
            found = {line["request_id"]: line.get("trace_id") for line in of_requests}
    assert found == expected
    assert "request-0" in service.log()
