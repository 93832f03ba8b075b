"""Jobs whose process dies, is stopped, or is not alone: each user once, nobody twice, nobody lost."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from auth_service.admin import grant_jobs_repository as repository
from auth_service.admin import grant_work
from auth_service.admin.grant_jobs import make_job
from auth_service.admin.grant_work import JobAtWork, work_on
from auth_service.locks import TRY_GRANT_JOB
from auth_service.permissions.actor import OPERATOR
from auth_service.roles.many_grants import Act, Wish
from tests.conftest import Fresh
from tests.support.access import create_role, moment
from tests.support.api import Account, Api, Tokens, unique
from tests.support.command import Command
from tests.support.crowd import begun, crowd, finished, holders, read_job, rows_of, run_job, start_job, traces
from tests.support.terminal import at_terminal

# As many rows as a killed process cannot have done in its first second of work.
MANY = int(os.environ.get("GRANT_ROWS", "2000"))


@pytest.fixture
async def root(api: Api) -> Tokens:
    return (await api.as_role("superuser"))[1]


async def operators_job(api: Api, root: Tokens, count: int) -> tuple[str, UUID, list[Account]]:
    """(role, job, users): one that no worker takes."""
    role, users = await create_role(api, root), await crowd(api, count)
    job = await make_job(api.resources, OPERATOR, Wish(Act.GRANT, role), [one.login for one in users])
    return role, job.id, users


async def each_once(api: Api, role: str, users: list[Account]) -> None:
    assert (await holders(api, role)).keys() == {one.id for one in users}
    assert await traces(api, role) == ([str(one.id) for one in users],) * 2


async def _finds_nothing(_pool: object) -> None:
    pass


@pytest.mark.long
async def test_killed_half_way_another_worker_goes_on(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = await fresh.settings()
    async with asyncio.timeout(300):
        service = await fresh.service(settings)
        api = await fresh.on(settings)
        _, root = await api.as_role("superuser")
        role, users = await create_role(api, root), await crowd(api, MANY)
        with monkeypatch.context() as patch:
            patch.setattr(repository, "find_oldest_open", _finds_nothing)  # here: the process alone works on it
            job = await start_job(api, root, role, [one.id for one in users])
            await begun(api, root, job["id"])
            os.kill(service.pid, signal.SIGKILL)
            await service.process.wait()
        seen = await read_job(api, root, job["id"])
        ended = await finished(api, root, job["id"])
    assert 0 < seen["done"] < MANY
    assert (ended["state"], ended["done"], ended["counts"]) == ("done", MANY, {"granted": MANY})
    await each_once(api, role, users)
    assert (await Command(settings)("audit", "verify")).code == 0


async def test_what_was_committed_and_not_counted_is_counted(
    api: Api, root: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies between the two."""
    monkeypatch.setattr(grant_work, "BATCH", 10)
    role, job_id, users = await operators_job(api, root, 25)

    async def dies(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(grant_work, "advance", dies)
        with pytest.raises(ConnectionResetError):
            await work_on(api.resources, job_id)
    job = await read_job(api, root, str(job_id))
    assert (job["state"], job["done"], job["counts"]) == ("running", 0, {})
    assert len(await rows_of(api, root, str(job_id), outcome="waiting")) == 25
    assert len(await holders(api, role)) == 10
    done = await work_on(api.resources, job_id)
    assert (done.state, done.done, done.counts) == ("done", 25, {"granted": 25})
    await each_once(api, role, users)


async def test_two_never_work_on_one_job(api: Api, root: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_work, "BATCH", 10)
    role, job_id, users = await operators_job(api, root, 50)
    results = await asyncio.gather(*(work_on(api.resources, job_id) for _ in range(3)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["JobAtWork", "JobAtWork", "JobView"]
    await each_once(api, role, users)


async def test_nothing_rests_on_the_lock_but_speed(api: Api, root: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection may have been cut under a worker that goes on."""
    monkeypatch.setattr(grant_work, "BATCH", 10)
    monkeypatch.setattr(grant_work, "TRY_GRANT_JOB", "SELECT $1::uuid IS NOT NULL")
    role, job_id, users = await operators_job(api, root, 50)
    jobs = await asyncio.gather(*(work_on(api.resources, job_id) for _ in range(2)))
    assert {(job.state, job.done) for job in jobs} == {("done", 50)}
    await each_once(api, role, users)


async def test_checks_see_what_is_counted(api: Api, root: Tokens) -> None:
    """And workers do not forget everybody else."""
    told: list[str] = []
    listening = api.resources.coherence.log
    role, users = await create_role(api, root, "films:watch"), await crowd(api, 300)
    account, tokens = await api.as_role()
    assert (await api.check(tokens, "films:watch"))["allowed"] is False
    before = listening.count
    job = await run_job(
        api, root, role, [*(one.id for one in users), account.id], valid_until=moment(days=1).isoformat()
    )
    assert job["counts"] == {"granted": 301}
    assert (await api.check(tokens, "films:watch"))["allowed"] is True
    told = listening.since(before) or []
    assert {f"u:{one.id}" for one in users} <= set(told)
    assert "*" not in told


# --- the command line ---


async def test_the_command_grants_to_a_file(api: Api, root: Tokens, tmp_path: Path) -> None:
    role, users = await create_role(api, root), await crowd(api, 4)
    command, file = Command(api.resources.settings), tmp_path / "names.txt"
    ghost = unique("ghost")
    file.write_text(f"{users[0].login}\n\n {users[1].email} \r\n{ghost}\n{users[2].id}\n", encoding="utf-8-sig")
    arguments = ("roles", "grant-many", role, "--file", str(file), "--valid-until", "2999-01-31T00:00:00Z")
    dry = await command(*arguments, "--dry-run")
    assert (dry.code, dry.out) == (0, f"grant {role}: granted 3, no_such_user 1\n")
    assert dry.err == f"line 4: there is no user {ghost}\n"
    assert not await holders(api, role)
    assert "add --yes" in (await command(*arguments)).err
    done = await command(*arguments, "--yes")
    assert (done.code, "done: 4 of 4 (granted 3, no_such_user 1)" in done.out) == (0, True), done
    assert (await holders(api, role)).keys() == {one.id for one in users[:3]}
    (job,) = (await command("roles", "jobs", "list", "--limit", "1", "--json")).rows
    assert (job["state"], job["asked_by_kind"], job["counts"]) == (
        "done",
        "operator",
        {"granted": 3, "no_such_user": 1},
    )
    (row,) = (await command("roles", "jobs", "show", job["id"], "--outcome", "no_such_user", "--json")).rows
    assert (row["number"], row["name"]) == (3, ghost)
    table = tmp_path / "names.csv"
    table.write_text(f'name;e-mail;Login\n"Anna; K.";x;{users[1].login}\n;;\nB;y;{users[3].login}\n', encoding="utf-8")
    done = await command("roles", "revoke-many", role, "--file", str(table), "--yes", "--reason", "too many")
    assert "revoked 1" in done.out, done
    assert "not_there 1" in done.out
    assert (await holders(api, role)).keys() == {users[0].id, users[2].id}


async def test_the_command_grants_to_whom_filters_find(api: Api, root: Tokens) -> None:
    role, users = await create_role(api, root), await crowd(api, 3)
    command, mark = Command(api.resources.settings), users[0].login.removesuffix("n0")
    dry = await command("roles", "grant-many", role, "--search", mark, "--active", "--dry-run")
    assert dry.out == f"grant {role}: granted 3\n"
    assert (await command("roles", "grant-many", role, "--search", mark, "--yes")).code == 0
    assert (await holders(api, role)).keys() == {one.id for one in users}
    assert (await command("roles", "revoke-many", role, "--role", role, "--yes")).code == 0
    assert not await holders(api, role)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no name"),
        (b"login,email\n,\n", "no name"),
        (b"\xff\xfe", "utf-8"),
        (b"anna,anna@x.example\n", "name a column id, login or email"),
        (b'login,note\nanna,"open\n', "not a text or CSV file"),
        (b"x" * 255, "line 1"),
        (b"a\x01b\n", "line 1"),
    ],
)
async def test_the_command_says_what_is_wrong_with_a_file(
    api: Api, tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "names"
    file.write_bytes(content)
    said = await Command(api.resources.settings).refuses("roles", "grant-many", "guest", "--file", str(file), "--yes")
    assert complaint in said


async def test_the_command_asks_who_is_meant(api: Api, tmp_path: Path) -> None:
    command, file = Command(api.resources.settings), tmp_path / "names"
    file.write_text("anna\n")
    assert "--file" in await command.refuses("roles", "grant-many", "guest", "--yes")
    both = ("roles", "grant-many", "guest", "--yes", "--file", str(file), "--active")
    assert "--file" in await command.refuses(*both)
    assert "no such role" in await command.refuses("roles", "grant-many", unique("role"), "--yes", "--file", str(file))
    assert "no such role" in await command.refuses("roles", "grant-many", "No Role", "--yes", "--file", str(file))
    for act in ("show", "resume", "cancel"):
        missing = await command.refuses("roles", "jobs", act, "01980000-0000-7000-8000-000000000000")
        assert "There is no such job." in missing


async def test_an_operator_s_job_waits_for_an_operator(api: Api, root: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_work, "BATCH", 10)
    monkeypatch.setattr(grant_work, "LOOK_SECONDS", 0.05)
    role, job_id, users = await operators_job(api, root, 30)
    stopped = await work_on(api.resources, job_id, is_stopping=iter([False, False, True]).__next__)
    assert (stopped.state, stopped.done) == ("queued", 20)
    await asyncio.sleep(0.3)
    assert (await read_job(api, root, str(job_id)))["done"] == 20
    command = Command(api.resources.settings)
    assert "done: 30 of 30 (granted 30)" in await command.does("roles", "jobs", "resume", str(job_id))
    await each_once(api, role, users)
    assert "has finished" in await command.refuses("roles", "jobs", "cancel", str(job_id))
    _, other, _ = await operators_job(api, root, 2)
    assert "cancelled: 0 of 2" in await command.does("roles", "jobs", "cancel", str(other))
    assert (await command("roles", "jobs", "resume", str(other))).code == 1
    connection = await api.resources.direct.connect()
    assert await connection.fetchval(TRY_GRANT_JOB, job_id)
    with pytest.raises(JobAtWork):
        await work_on(api.resources, job_id)
    await connection.close()


@pytest.mark.long
async def test_ctrl_c_stops_between_two_batches(api: Api, root: Tokens, tmp_path: Path) -> None:
    role, users = await create_role(api, root), await crowd(api, MANY)
    file = tmp_path / "names"
    file.write_text("\n".join(one.login for one in users))
    arguments = ("roles", "grant-many", role, "--file", str(file))
    async with at_terminal(api.resources.settings, *arguments) as terminal:
        await terminal.sees(f"granted {MANY}")
        await terminal.sees("[y/N]:")
        terminal.types("y")
        await terminal.sees("job ")
        while not await holders(api, role):  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.01)
        terminal.interrupts()
        await terminal.sees("stopped: ")
        await terminal.sees("roles jobs resume ")
        assert await terminal.code() == 130, terminal.shown
    assert "Traceback" not in terminal.shown
    (job,) = (await Command(api.resources.settings)("roles", "jobs", "list", "--limit", "1", "--json")).rows
    done = len(await holders(api, role))
    assert 0 < done < MANY
    assert (job["state"], job["done"], job["counts"]) == ("queued", done, {"granted": done})
    assert f"stopped: {done} of {MANY} (granted {done})" in terminal.shown.replace("\r\n", " ")
    assert f"roles jobs resume {job['id']}" in terminal.shown
    resumed = await Command(api.resources.settings).does("roles", "jobs", "resume", job["id"])
    assert f"done: {MANY} of {MANY} (granted {MANY})" in resumed
    await each_once(api, role, users)
