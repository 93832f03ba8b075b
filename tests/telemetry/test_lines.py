"""Our lines and those of the standard library's loggers look alike, on a terminal's stream and in the file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PROCESS = """
import logging, os
import structlog
from auth_service.config import load_settings
from auth_service.core.telemetry.log import configure_logging

configure_logging(load_settings())
structlog.contextvars.bind_contextvars(request_id="of-a-test")
ours, foreign = structlog.get_logger("auth_service.ours"), logging.getLogger("foreign")
ours.debug("too low")
foreign.debug("too low")
ours.info("request", path="/\\u2028é", ms=1.5)
foreign.info("a text with %s", "arguments")
for log in (ours, foreign):
    try:
        raise ValueError("a value")
    except ValueError:
        log.exception("failed")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_both_outputs_have_every_line(tmp_path: Path, form: str) -> None:
    path = tmp_path / "auth.log"
    urls = {"DATABASE_URL": "postgresql://a:b@localhost/c", "REDIS_URL": "redis://localhost"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=ROOT,
        env={**urls, "LOG_FORMAT": form, "LOG_FILE": str(path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["logger"], line["event"]) for line in lines] == [
        ("auth_service.ours", "request"),
        ("foreign", "a text with arguments"),
        ("auth_service.ours", "failed"),
        ("foreign", "failed"),
    ]
    assert list(lines[0]) == ["path", "ms", "event", "request_id", "logger", "level", "timestamp"]
    assert all(line["request_id"] == "of-a-test" for line in lines)
    for ours, theirs in ((lines[0], lines[1]), (lines[2], lines[3])):
        assert list(theirs) == [name for name in ours if name not in {"path", "ms"}]
    assert lines[2]["exception"] == lines[3]["exception"]
    if form == "json":
        shown = [json.loads(line) for line in done.stderr.splitlines()]
        assert [line | {"timestamp": ""} for line in shown] == [line | {"timestamp": ""} for line in lines]
    else:
        assert "a text with arguments" in done.stderr
        assert done.stderr.count("ValueError") >= 2
