"""Our mails say what we say: nobody gets words of their own, or a link, into a mail to somebody else."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_service.sessions.user_agent import in_words
from tests.support.api import PASSWORD, V1, Account, Api, unique
from tests.support.mailbox import letters, newest

BAIT = "www.evil.example"
SENTENCES = (
    f"Your account is closed, log in at http://{BAIT}/login/1.0 CFNetwork/1 Darwin/2",
    f"{BAIT}-bot/1.0",
    f"{BAIT}/1.0 CFNetwork/1490 Darwin/23",
    "Call 0800 123 456 now or lose your account/1.0 CFNetwork/1490 Darwin/23",
)


@pytest.mark.parametrize("user_agent", SENTENCES)
async def test_a_notice_of_a_new_device_repeats_no_text_of_the_device(api: Api, user_agent: str) -> None:
    account, _ = await api.as_role()
    body = {"login": account.login, "password": PASSWORD}
    await api.http.post(f"{V1}/auth/login", json=body, headers={"User-Agent": user_agent})
    text = (await newest(api, account.email, "new_device")).text
    assert not any(word in text for word in ("evil", "closed", "0800", "Call")), text


@pytest.mark.long
@given(st.text(min_size=1, max_size=60), st.sampled_from(["{}/1.0 CFNetwork/1 Darwin/2", "{}", "{}-bot/2", "x {}/3.1"]))
def test_whatever_a_client_calls_itself_there_is_no_link_and_no_second_line(name: str, form: str) -> None:
    assert not set(str(in_words(form.format(name)))) & set(".:@\r\n\u2028")


async def test_a_login_is_not_written_to_an_address_that_nobody_has_confirmed(api: Api) -> None:
    """It may look like the name of a host, which mail programs make a link of."""
    login = f"{BAIT}.{unique('x')}"
    body = {"login": login, "email": f"{unique('victim')}@example.com", "password": PASSWORD}
    registered = await api.http.post(f"{V1}/auth/register", json=body)
    account = Account(UUID(registered.json()["id"]), login, body["email"])
    tokens = await api.log_in(account)
    await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})
    other = f"{unique('victim')}@example.com"
    change = {"email": other, "current_password": PASSWORD}
    await api.http.post(f"{V1}/users/me/email", json=change, headers=tokens.bearer)
    received = await letters(api, account.email) + await letters(api, other)
    assert {letter.kind for letter in received} == {"verify_email", "reset_password", "email_change_new"}
    assert not any("evil" in letter.text + letter.subject for letter in received)
    token = next(letter.token for letter in received if letter.kind == "verify_email")
    assert (await api.http.post(f"{V1}/auth/email/confirm", json={"token": token})).status_code == 200
    await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})
    assert f"Hello {login}," in (await newest(api, account.email, "reset_password")).text
