"""The command line with somebody in front of it: what it asks, what it takes, and how to leave."""

import pytest

from tests.conftest import Fresh
from tests.support.api import PASSWORD, Api, tokens_of, unique
from tests.support.terminal import at_terminal


@pytest.mark.long
async def test_an_account_is_made_by_answering(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    taken = await api.create_user(login="anna")
    async with at_terminal(settings, "users", "create") as terminal:
        await terminal.sees("E-mail address:")
        terminal.types("no address")
        await terminal.sees("E-mail address must be an e-mail address")
        await terminal.sees("E-mail address:")
        terminal.types("anna@other.example")
        await terminal.sees("Login [anna2]:")
        terminal.types("a b")
        await terminal.sees("Login may have letters")
        await terminal.sees("Login [anna2]:")
        terminal.types("")
        for password in ("short", PASSWORD):
            await terminal.sees("Password: ")
            terminal.types(password)
            await terminal.sees("Repeat for confirmation: ")
            terminal.types(password)
        await terminal.sees("login anna2")
        assert await terminal.code() == 0
        assert "password must have at least 8 characters" in terminal.shown
        assert PASSWORD not in terminal.shown
    tokens = tokens_of(await api.log_in_as("anna2", PASSWORD))
    assert (await api.me(tokens)).json()["email"] == "anna@other.example"
    assert (await api.log_in_as(taken.login, PASSWORD)).status_code == 200


@pytest.mark.long
async def test_what_cannot_be_undone_is_asked(api: Api) -> None:
    settings = api.resources.settings
    account = await api.create_user(login=unique("asked"))
    for answer, code in (("n", 1), ("y", 0)):
        async with at_terminal(settings, "users", "delete", account.email) as terminal:
            await terminal.sees(f"The account {account.email} is deleted for good")
            await terminal.sees("[y/N]:")
            assert (await api.log_in_as(account.login, PASSWORD)).status_code == 200
            terminal.types(answer)
            assert await terminal.code() == code, terminal.shown
            assert "Traceback" not in terminal.shown
    assert (await api.log_in_as(account.login, PASSWORD)).status_code == 401


@pytest.mark.long
async def test_ctrl_c_leaves_at_any_question(api: Api) -> None:
    account = await api.create_user()
    async with at_terminal(api.resources.settings, "users", "update-password", account.login) as terminal:
        await terminal.sees("Password: ")
        terminal.interrupts()
        assert await terminal.code() in {1, 130}
        assert "Traceback" not in terminal.shown
    assert (await api.log_in_as(account.login, PASSWORD)).status_code == 200
