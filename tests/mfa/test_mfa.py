"""The second factor over HTTP, with a phone of our own and a clock that the test moves."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from auth_service.maintenance import signing_keys
from auth_service.mfa import recovery_codes, totp
from auth_service.permissions.actor import OPERATOR
from auth_service.sessions.history import read_history
from auth_service.sessions.repository import HistoryFilter
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Api, error_of, tokens_of
from tests.support.phone import shown_at
from tests.support.viewer import STEP, Viewer, Watch, enrol


@pytest.fixture
async def viewer(fresh: Fresh) -> Viewer:
    watch = Watch()
    return await enrol(await fresh.api(watch), watch)


async def test_a_login_asks_for_the_code(viewer: Viewer) -> None:
    answered = await viewer.answer(await viewer.challenge(), viewer.code())
    assert (await viewer.api.me(tokens_of(answered))).status_code == 200
    state = (await viewer.send("GET", "/mfa")).json()
    assert (state["enabled"], state["recovery_codes_left"]) == (True, 10)


async def test_mfa_1_the_seed_has_160_bits_and_is_nowhere_in_the_database(viewer: Viewer) -> None:
    raw = base64.b32decode(viewer.secret)
    assert len(raw) * 8 == 160
    async with viewer.api.resources.db() as session:
        rows = (await session.execute(text("SELECT t::text FROM mfa_totp t"))).scalars().all()
    assert rows
    assert [row for row in rows if viewer.secret in row or raw.hex() in row] == []


async def test_mfa_1_swapped_ciphertexts_fail_closed(viewer: Viewer) -> None:
    other = await enrol(viewer.api, viewer.watch)
    async with viewer.api.resources.db.begin() as session:
        swap = (
            "UPDATE mfa_totp a SET sealed_secret = b.sealed_secret FROM mfa_totp b"
            " WHERE a.user_id <> b.user_id AND a.user_id IN (:one, :two) AND b.user_id IN (:one, :two)"
        )
        await session.execute(text(swap), {"one": viewer.account.id, "two": other.account.id})
    for code in (viewer.code(), other.code()):
        assert (await viewer.answer(await viewer.challenge(), code)).status_code >= 400


async def test_mfa_2_the_same_code_50_times_at_once_is_accepted_once(fresh: Fresh) -> None:
    watch = Watch()
    settings = await fresh.settings()
    viewer = await enrol(await fresh.on(settings, watch), watch)
    second = Viewer(await fresh.on(settings, watch), watch, viewer.account, viewer.tokens, viewer.secret, [])
    challenges = [await viewer.challenge() for _ in range(25)]
    answers = await asyncio.gather(
        *(replica.answer(challenge, viewer.code()) for challenge in challenges for replica in (viewer, second))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 49


async def test_mfa_2_the_code_of_the_enrolment_is_used_up(fresh: Fresh) -> None:
    watch = Watch()
    viewer = await enrol(await fresh.api(watch), watch)
    watch.turn(-STEP)
    assert error_of(await viewer.answer(await viewer.challenge(), viewer.code())) == (401, "invalid_code")


async def test_mfa_2_a_replay_reads_like_a_wrong_code_and_costs_no_try(viewer: Viewer) -> None:
    code = viewer.code()
    tokens_of(await viewer.answer(await viewer.challenge(), code))
    for _ in range(12):
        assert error_of(await viewer.answer(await viewer.challenge(), code)) == (401, "invalid_code")
    tokens_of(await viewer.answer(await viewer.challenge(), viewer.code(+1)))


@pytest.mark.parametrize("spelling", ["１２３４５６", "12345６", "٠١٢٣٤٥", "123 456", "+12345", "1234567"])
async def test_mfa_2_only_six_ascii_digits_are_a_code(spelling: str) -> None:
    assert not totp.is_totp_code(spelling)
    assert totp.matching_step(totp.new_secret(), spelling, datetime.now(UTC)) is None


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_mfa_3_one_step_around_and_no_more(steps: int, accepted: bool) -> None:
    secret, now = totp.new_secret(), datetime.now(UTC)
    step = totp.matching_step(secret, shown_at(secret, now + steps * STEP), now)
    assert (step == int(now.timestamp()) // 30 + steps) is accepted


def test_the_rfc_6238_vectors_hold_for_phone_and_service() -> None:
    secret = base64.b32encode(b"12345678901234567890").decode()
    for seconds, code in [(59, "287082"), (1111111109, "081804"), (2000000000, "279037")]:
        moment = datetime.fromtimestamp(seconds, UTC)
        assert (shown_at(secret, moment), totp.code_at(secret, moment)) == (code, code)


async def test_mfa_4_a_challenge_has_five_tries(viewer: Viewer) -> None:
    challenge = await viewer.challenge()
    wrong = await asyncio.gather(*(viewer.answer(challenge, "000000") for _ in range(50)))
    assert (
        sorted(error_of(answer) for answer in wrong) == [(401, "invalid_challenge")] * 45 + [(401, "invalid_code")] * 5
    )
    assert error_of(await viewer.answer(challenge, viewer.code())) == (401, "invalid_challenge")


async def test_mfa_4_fresh_logins_share_ten_tries_an_hour_apart_from_the_passwords_budget(viewer: Viewer) -> None:
    for _ in range(15):
        answered = await viewer.answer(await viewer.challenge(), "000000")
        assert error_of(answered) == (401, "invalid_code")
    # The password still opens a challenge each time; the right code is no longer looked at.
    assert error_of(await viewer.answer(await viewer.challenge(), viewer.code())) == (401, "invalid_code")
    assert (await viewer.send("GET", "/mfa")).status_code == 200
    viewer.watch.turn(timedelta(hours=1, seconds=1))
    viewer.tokens = tokens_of(await viewer.answer(await viewer.challenge(), viewer.code()))
    page = await read_history(viewer.api.resources, viewer.account.id, HistoryFilter(), cursor=None, limit=20)
    assert sum(entry.reason == "wrong_code" for entry in page.items) == 16


async def test_mfa_4_a_hundred_misses_leave_only_the_recovery_codes(viewer: Viewer) -> None:
    async with viewer.api.resources.db.begin() as session:
        await session.execute(text("UPDATE mfa_totp SET misses = 100"))
    assert error_of(await viewer.answer(await viewer.challenge(), viewer.code())) == (401, "invalid_code")
    tokens_of(await viewer.answer(await viewer.challenge(), viewer.codes[0]))


async def test_mfa_5_a_recovery_code_works_once_also_in_parallel(viewer: Viewer) -> None:
    challenges = [await viewer.challenge() for _ in range(4)]
    answers = await asyncio.gather(*(viewer.answer(challenge, viewer.codes[3]) for challenge in challenges))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert (await viewer.send("GET", "/mfa")).json()["recovery_codes_left"] == 9


async def test_mfa_5_codes_are_strong_unlike_and_kept_as_password_hashes(viewer: Viewer) -> None:
    assert len(set(viewer.codes)) == recovery_codes.COUNT
    assert len({code[:4] for code in viewer.codes}) == recovery_codes.COUNT
    async with viewer.api.resources.db() as session:
        rows = (await session.execute(text("SELECT code_hash FROM mfa_recovery_codes"))).scalars().all()
    assert all(row.startswith("$argon2id$") for row in rows)
    typed = viewer.codes[0].upper().replace("-", " ")
    tokens_of(await viewer.answer(await viewer.challenge(), typed))


async def test_mfa_5_new_codes_void_the_old_ones(viewer: Viewer) -> None:
    made = await viewer.send("POST", "/mfa/recovery-codes", current_password=PASSWORD, code=viewer.code())
    assert len(made.json()["recovery_codes"]) == 10
    assert error_of(await viewer.answer(await viewer.challenge(), viewer.codes[0])) == (401, "invalid_code")
    tokens_of(await viewer.answer(await viewer.challenge(), made.json()["recovery_codes"][0]))


async def test_mfa_6_an_abandoned_enrolment_changes_nothing(api: Api) -> None:
    account, tokens = await api.as_role()
    started = await api.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)
    assert started.headers["cache-control"] == "no-store"
    assert started.json()["otpauth_uri"].startswith("otpauth://totp/Cinema:")
    assert started.json()["qr_svg"].startswith("<svg")
    assert started.json()["qr_png"].startswith("data:image/png;base64,")
    await api.log_in(account)
    assert (await api.http.get(f"{V1}/mfa", headers=tokens.bearer)).json()["enabled"] is False


async def test_mfa_6_an_enrolment_asks_for_the_password_and_for_a_code(api: Api) -> None:
    _, tokens = await api.as_role()
    wrong = await api.http.post(f"{V1}/mfa/totp", json={"current_password": "not it"}, headers=tokens.bearer)
    assert error_of(wrong) == (403, "wrong_password")
    early = await api.http.post(f"{V1}/mfa/totp/confirm", json={"code": "123456"}, headers=tokens.bearer)
    assert error_of(early) == (409, "no_enrolment")
    await api.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)
    wrong = await api.http.post(f"{V1}/mfa/totp/confirm", json={"code": "000000"}, headers=tokens.bearer)
    assert error_of(wrong) == (403, "wrong_code")


async def test_an_enrolment_runs_out(fresh: Fresh) -> None:
    watch = Watch()
    api = await fresh.api(watch)
    _, tokens = await api.as_role()
    started = await api.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)
    watch.turn(timedelta(minutes=14, seconds=50))
    code = shown_at(started.json()["secret"], watch.now)
    watch.turn(timedelta(seconds=10))
    late = await api.http.post(f"{V1}/mfa/totp/confirm", json={"code": code}, headers=tokens.bearer)
    assert error_of(late)[0] in {401, 409}


async def test_a_second_enrolment_needs_the_first_one_disabled(viewer: Viewer) -> None:
    again = await viewer.send("POST", "/mfa/totp", current_password=PASSWORD)
    assert error_of(again) == (409, "mfa_enabled")


async def test_mfa_7_a_stolen_session_alone_cannot_disable_it(viewer: Viewer) -> None:
    for password, code, status in [("wrong one", viewer.code(), 403), (PASSWORD, "000000", 403)]:
        refused = await viewer.send("DELETE", "/mfa/totp", current_password=password, code=code)
        assert refused.status_code == status
    other = tokens_of(await viewer.answer(await viewer.challenge(), viewer.code()))
    viewer.watch.turn()
    gone = await viewer.send("DELETE", "/mfa/totp", current_password=PASSWORD, code=viewer.code())
    assert gone.status_code == 204
    assert (await viewer.api.me(other)).status_code == 401
    assert (await viewer.api.me(viewer.tokens)).status_code == 200
    await viewer.api.log_in(viewer.account)
    twice = await viewer.send("DELETE", "/mfa/totp", current_password=PASSWORD, code=viewer.code())
    assert error_of(twice) == (409, "mfa_not_enabled")


async def test_mfa_7_enabling_ends_the_other_sessions(api: Api) -> None:
    account, tokens = await api.as_role()
    other = await api.log_in(account)
    started = await api.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)
    code = shown_at(started.json()["secret"], datetime.now(UTC))
    await api.http.post(f"{V1}/mfa/totp/confirm", json={"code": code}, headers=tokens.bearer)
    assert (await api.me(other)).status_code == 401
    assert (await api.me(tokens)).status_code == 200


async def test_log_8_a_challenge_is_good_for_one_login_and_nothing_else(viewer: Viewer) -> None:
    challenge = await viewer.challenge()
    bearer = {"Authorization": f"Bearer {challenge}"}
    assert (await viewer.api.http.get(f"{V1}/users/me", headers=bearer)).status_code == 401
    assert error_of(await viewer.api.refresh(challenge))[0] == 401
    other = await enrol(viewer.api, viewer.watch)
    assert (await viewer.answer(challenge, other.code())).status_code == 401
    tokens_of(await viewer.answer(challenge, viewer.code()))
    assert error_of(await viewer.answer(challenge, viewer.code(+1))) == (401, "invalid_challenge")
    assert error_of(await viewer.answer("x.y", viewer.code())) == (401, "invalid_challenge")


async def test_log_8_a_challenge_lives_five_minutes(viewer: Viewer) -> None:
    challenge = await viewer.challenge()
    viewer.watch.turn(timedelta(minutes=5))
    assert error_of(await viewer.answer(challenge, viewer.code())) == (401, "invalid_challenge")


async def test_log_8_parallel_answers_with_a_right_code_start_one_session(viewer: Viewer) -> None:
    challenge = await viewer.challenge()
    answers = await asyncio.gather(*(viewer.answer(challenge, viewer.code()) for _ in range(5)))
    assert [answer.status_code for answer in answers].count(200) == 1


async def test_an_admin_resets_a_lost_second_factor_but_not_that_of_a_superuser(viewer: Viewer) -> None:
    api = viewer.api
    _, admin = await api.as_role("admin")
    path = f"{V1}/admin/users/{viewer.account.id}/reset-mfa"
    assert (await api.http.post(path, json={}, headers=admin.bearer)).status_code == 422
    done = await api.http.post(path, json={"reason": "lost phone, ticket 12"}, headers=admin.bearer)
    assert done.status_code == 204
    assert (await api.me(viewer.tokens)).status_code == 401
    await api.log_in(viewer.account)
    again = await api.http.post(path, json={"reason": "lost phone"}, headers=admin.bearer)
    assert error_of(again) == (409, "mfa_not_enabled")
    boss = await api.create_user("superuser")
    refused = await api.http.post(
        f"{V1}/admin/users/{boss.id}/reset-mfa", json={"reason": "no reason"}, headers=admin.bearer
    )
    assert error_of(refused) == (403, "exceeds_own_permissions")


def test_recovery_codes_are_read_however_they_are_typed() -> None:
    code = recovery_codes.new_codes()[0].replace("-", "")
    assert recovery_codes.is_recovery_code(code.upper())
    assert recovery_codes.split(code.upper()) == recovery_codes.split(code) == (code[:4], code[4:])
    assert not recovery_codes.is_recovery_code(code[:-1])
    assert not recovery_codes.is_recovery_code(code[:-1] + "0")


async def change_password(viewer: Viewer) -> None:
    new = "another horse of the battery"
    done = await viewer.send("POST", "/users/me/password", current_password=PASSWORD, new_password=new)
    assert done.status_code == 204


async def log_out_all(viewer: Viewer) -> None:
    assert (await viewer.send("POST", "/auth/logout-all")).status_code == 204


async def log_out_others(viewer: Viewer) -> None:
    assert (await viewer.send("POST", "/auth/logout-others")).status_code == 204


@pytest.mark.parametrize("ended_by", [change_password, log_out_all, log_out_others])
async def test_pwd_7_an_open_challenge_does_not_outlive_what_ends_sessions(
    viewer: Viewer, ended_by: Callable[[Viewer], Awaitable[None]]
) -> None:
    challenge = await viewer.challenge()
    await ended_by(viewer)
    assert error_of(await viewer.answer(challenge, viewer.code())) == (401, "invalid_challenge")


async def test_mfa_7_nobody_resets_their_own(fresh: Fresh) -> None:
    watch = Watch()
    viewer = await enrol(await fresh.api(watch), watch, "superuser")
    refused = await viewer.send("POST", f"/admin/users/{viewer.account.id}/reset-mfa", reason="a stolen session")
    assert error_of(refused) == (403, "permission_denied")
    assert (await viewer.send("GET", "/mfa")).json()["enabled"] is True


async def test_mfa_1_a_seed_of_the_previous_key_is_sealed_anew_by_its_use(fresh: Fresh) -> None:
    watch = Watch()
    settings = await fresh.settings()
    viewer = await enrol(await fresh.on(settings, watch), watch)
    newer = SecretStr("the next secret of the test suite, long enough")
    both = settings.model_copy(update={"secret_key": newer, "secret_key_previous": settings.secret_key})
    viewer.api = await fresh.on(both, watch)
    tokens_of(await viewer.answer(await viewer.challenge(), viewer.code()))
    alone = settings.model_copy(update={"secret_key": newer})
    await signing_keys.rotate(viewer.api.resources, OPERATOR)
    async with viewer.api.resources.db.begin() as session:
        await session.execute(text("DELETE FROM signing_keys WHERE retires_at IS NOT NULL"))
        await session.execute(text("UPDATE signing_keys SET signs_from = now() - interval '1 hour'"))
    watch.turn()
    viewer.api = await fresh.on(alone, watch)
    tokens_of(await viewer.answer(await viewer.challenge(), viewer.code()))


async def test_mfa_1_without_the_key_that_sealed_it_the_answer_is_503(fresh: Fresh) -> None:
    watch = Watch()
    settings = await fresh.settings()
    viewer = await enrol(await fresh.on(settings, watch), watch)
    async with viewer.api.resources.db.begin() as session:
        await session.execute(text("DELETE FROM signing_keys"))
    other = settings.model_copy(update={"secret_key": SecretStr("quite another secret of the test suite")})
    viewer.api = await fresh.on(other, watch)
    assert error_of(await viewer.answer(await viewer.challenge(), viewer.code())) == (503, "temporarily_unavailable")


async def test_mfa_5_new_codes_never_outlive_the_authenticator(viewer: Viewer) -> None:
    """The reset comes while the new codes are hashed."""
    _, admin = await viewer.api.as_role("superuser")

    async def reset() -> httpx.Response:
        await asyncio.sleep(0.1)
        path = f"{V1}/admin/users/{viewer.account.id}/reset-mfa"
        return await viewer.api.http.post(path, json={"reason": "lost phone"}, headers=admin.bearer)

    made, done = await asyncio.gather(
        viewer.send("POST", "/mfa/recovery-codes", current_password=PASSWORD, code=viewer.code()), reset()
    )
    assert done.status_code == 204
    assert made.status_code in {200, 401, 403, 409}  # 403: the code of an authenticator that is gone
    async with viewer.api.resources.db() as session:
        left = (await session.execute(text("SELECT count(*) FROM mfa_recovery_codes"))).scalar_one()
    assert left == 0
