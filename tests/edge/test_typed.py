"""What a person types: white space around it does not count, codes come in groups, and mistakes get right words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

import auth_service.main  # noqa: F401  every model of a request
from auth_service.config import Settings
from auth_service.core.http.error_answers import explain_field
from auth_service.core.schemas import Body, Typed, without_gaps
from auth_service.mfa import recovery_codes
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, error_of, tokens_of, unique
from tests.support.command import Command
from tests.support.import_file import row, write
from tests.support.mailbox import newest
from tests.support.viewer import Viewer, Watch, enrol

AROUND = [" {}", "{} ", "\u00a0{}\u2009", "\u3000{}\u2003"]


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _below(child)


REQUESTS = sorted(
    {
        model
        for model in _below(BaseModel)
        if model.__module__.startswith("auth_service.")
        and (issubclass(model, Body) or model.__name__.endswith("Query"))
    },
    key=lambda model: model.__name__,
)
# Texts that are no `Typed`, by the names of their fields.
AS_TYPED = {"password", "current_password", "new_password"}  # PWD-4
IN_GROUPS = {"code"}  # of a phone: see below; of the catalogue: a key
MADE_BY_PROGRAMS = {"challenge", "device_token", "refresh_token", "client_id", "client_secret", "scope", "cursor"}
KEYS = {"name", "permission", "permissions", "parents", "role", "roles", "scopes", "kind", "kinds", "action", "ip"}
ELSEWHERE = {("HistoryQuery", "reason"), ("TokenRequestBody", "grant_type")}  # stable codes of ours


def _texts(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of each text in it what it is annotated with."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from _texts(inner, (*more, *metadata))
    elif annotation is str:
        yield metadata
    else:
        for inner in get_args(annotation):
            if not isinstance(inner, str):
                yield from _texts(inner, metadata if inner is str else ())


def test_every_text_of_a_request_is_typed_or_has_its_reason_here() -> None:
    exempt = AS_TYPED | IN_GROUPS | MADE_BY_PROGRAMS | KEYS
    found = {
        (model.__name__, name): any(isinstance(mark, Typed) for mark in marks)
        for model in REQUESTS
        for name, field in model.model_fields.items()
        for marks in _texts(field.annotation, tuple(field.metadata))
    }
    assert len(REQUESTS) > 30
    assert len(found) > 60
    untyped = {
        where for where, typed in found.items() if not typed and where[1] not in exempt and where not in ELSEWHERE
    }
    assert untyped == set()
    assert {name for (_, name), typed in found.items() if typed} & AS_TYPED == set()
    for wanted in ("login", "email", "full_name", "device_name", "token", "search", "title", "url"):
        assert [where for where, typed in found.items() if where[1] == wanted and not typed] == []


WRONG: list[Any] = [
    *(None, "", " ", "x", "x" * 9000, "\u0001", "no", "12", "0.5", "9" * 5000, b"x"),
    *(0, -1, 10**30, 1.5, float("inf"), True, [], ["x"] * 2000, [None], [{}], [[1]], {}, {"a": 1}, {"x": {}}),
    *("2030-01-01", "2030-13-01T00:00:00Z", "2030-01-01T00:00:00", "9999-99-99T00:00:00Z", "2030-01-01T00:00:00Zx"),
    *([{"permission": 5, "x": 1}], [5], {"films:watch": {"title": ""}}),
]


def _complaints(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    for name in [*model.model_fields, "unknown"]:
        for value in WRONG:
            try:
                model.model_validate({name: value})
            except ValidationError as error:
                yield from error.errors()  # type: ignore[misc]
    for value in WRONG:
        try:
            model.model_validate(value)
        except ValidationError as error:
            yield from error.errors()  # type: ignore[misc]


@pytest.mark.parametrize("model", REQUESTS, ids=lambda model: model.__name__)
def test_every_mistake_has_words_and_lengths_of_texts_are_in_characters(model: type[BaseModel]) -> None:
    complaints = list(_complaints(model))
    assert complaints
    for complaint in complaints:
        message = explain_field(complaint)["message"]
        assert message != "is not valid", complaint
        assert "{" not in message, complaint
        if complaint["type"] in {"too_short", "too_long"}:
            assert complaint["ctx"]["field_type"] == "List", complaint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"full_name": ""}, "must have 1 or more characters"),
        ({"full_name": " \u00a0"}, "must have 1 or more characters"),
        ({"full_name": "x" * 201}, "must have at most 200 characters"),
    ],
)
async def test_a_name_is_counted_in_characters(api: Api, body: dict[str, str], words: str) -> None:
    _, tokens = await api.as_role()
    answer = await api.http.patch(f"{V1}/users/me", json=body, headers=tokens.bearer)
    assert error_of(answer) == (422, "validation_error")
    assert [item["message"] for item in answer.json()["fields"]] == [words]


@pytest.mark.parametrize("around", AROUND)
async def test_white_space_around_login_address_and_name_does_not_count(api: Api, around: str) -> None:
    login, email = unique("typed"), f"{unique('typed')}@example.com"
    body = {"login": login, "email": email, "full_name": "Анна К."}
    sent = {name: around.format(value) for name, value in body.items()} | {"password": PASSWORD}
    registered = await api.http.post(f"{V1}/auth/register", json=sent)
    assert registered.status_code == 201, registered.text
    assert {name: registered.json()[name] for name in body} == body
    account = Account(registered.json()["id"], login, email)
    for name in (login, email):
        assert (await api.log_in_as(around.format(name), PASSWORD)).status_code == 200
    # A mailed token, pasted by hand.
    confirm = {"token": around.format((await newest(api, email, "verify_email")).token)}
    assert (await api.http.post(f"{V1}/auth/email/confirm", json=confirm)).json()["verified"] is True
    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": around.format(email)})).status_code == 202
    new = "twenty paper lanterns"
    reset = {"token": around.format((await newest(api, email, "reset_password")).token), "new_password": new}
    assert (await api.http.post(f"{V1}/auth/password/reset", json=reset)).status_code == 200
    tokens = await api.log_in(Account(account.id, login, email, new), device_name=around.format("Anna's phone"))
    devices = (await api.http.get(f"{V1}/users/me/devices", headers=tokens.bearer)).json()["items"]
    assert "Anna's phone" in {device["name"] for device in devices}
    for path, change in (
        ("login", {"login": around.format(unique("renamed"))}),
        ("email", {"email": around.format(f"{unique('moved')}@example.com")}),
    ):
        changed = await api.http.post(
            f"{V1}/users/me/{path}", json=change | {"current_password": new}, headers=tokens.bearer
        )
        assert changed.status_code < 300, changed.text
        assert changed.json()[path] == change[path].strip()


@pytest.mark.parametrize("around", AROUND)
async def test_pwd_4_white_space_around_a_password_is_of_the_password(api: Api, around: str) -> None:
    login = unique("typed")
    body = {"login": login, "email": f"{login}@example.com", "password": around.format(PASSWORD)}
    assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 201
    assert error_of(await api.log_in_as(login, PASSWORD)) == (401, "invalid_credentials")
    assert (await api.log_in_as(login, around.format(PASSWORD))).status_code == 200


async def test_white_space_around_does_not_count_for_an_admin_the_command_line_and_an_import(
    api: Api, shared_settings: Settings, tmp_path: Path
) -> None:
    _, boss = await api.as_role("superuser")
    name = unique("typed")
    new = {"login": f" {name} ", "email": f" {name}@example.com\u00a0", "full_name": " Anna "}
    made = (await api.http.post(f"{V1}/admin/users", json=new, headers=boss.bearer)).json()
    assert (made["login"], made["email"], made["full_name"]) == (name, f"{name}@example.com", "Anna")
    patch = {"login": f"\u2009{name}a ", "email": f" {name}a@example.com ", "full_name": " Anna K. "}
    path = f"{V1}/admin/users/{made['id']}"
    made = (await api.http.patch(path, json=patch, headers=boss.bearer)).json()
    assert (made["login"], made["email"], made["full_name"]) == (f"{name}a", f"{name}a@example.com", "Anna K.")
    found = await api.http.get(f"{V1}/admin/users", params={"search": f" {name}a "}, headers=boss.bearer)
    assert [item["login"] for item in found.json()["items"]] == [f"{name}a"]

    command = Command(shared_settings)
    name = unique("typed")
    await command.does(
        "users", "create", f" {name} ", f" {name}@example.com\u00a0", "--full-name", " Anna ", typed=PASSWORD
    )
    (listed,) = (await command("users", "list", "--search", f" {name} ", "--json")).rows
    assert (listed["login"], listed["email"]) == (name, f"{name}@example.com")
    assert (await command.does("users", "unlock", f" {listed['id']} ")).endswith("unlocked\n")

    name = unique("typed")
    line = row(login=f" {name}\u00a0", email=f" {name}@example.com ", full_name="\u2009Anna ")
    await command.does("users", "import", write(tmp_path, [line]))
    stored = await api.resources.hot.fetchrow("SELECT login, email, full_name FROM users WHERE login_key = $1", name)
    assert tuple(stored or ()) == (name, f"{name}@example.com", "Anna")


def _typed(code: str) -> list[str]:
    return [
        f"{code[:3]} {code[3:]}",
        f" {code[:3]}\u00a0{code[3:]} ",
        f"{code[:3]}\u202f{code[3:]}\u200b",
        f"\u202d{code[:3]}-{code[3:]}\u202c",
        f"{code[:3]}\u2013{code[3:]}\ufeff",
        " ".join(code),
    ]


def test_gaps_are_white_space_dashes_and_what_cannot_be_seen() -> None:
    assert {without_gaps(text) for text in _typed("123456")} == {"123456"}
    assert without_gaps("１２３\u3000４５６") == "１２３４５６"
    assert without_gaps("12+3.4_5") == "12+3.4_5"


NO_CODES = [
    "１２３４５６",
    "12345６",
    "٠١٢٣٤٥",
    "+12345",
    "1234567",
    "12345",
    "",
    " ",
    "abcdef",
    "k7fq-2m9x",
    "hello you",
]


@pytest.fixture
async def viewer(fresh: Fresh) -> Viewer:
    watch = Watch()
    return await enrol(await fresh.api(watch), watch)


@pytest.mark.parametrize("number", range(6))
async def test_mfa_2_a_code_is_taken_as_the_phone_shows_it_and_works_once(viewer: Viewer, number: int) -> None:
    typed = _typed(viewer.code())[number]
    assert (await viewer.answer(await viewer.challenge(), typed)).status_code == 200
    for again in (typed, viewer.code()):
        assert error_of(await viewer.answer(await viewer.challenge(), again)) == (401, "invalid_code")


async def test_mfa_2_every_route_takes_codes_in_groups(viewer: Viewer) -> None:
    def in_groups() -> dict[str, str]:
        viewer.watch.turn()
        return {"code": f"{viewer.code()[:3]} {viewer.code()[3:]}"}

    viewer.tokens = tokens_of(await viewer.send("POST", "/auth/step-up", **in_groups()))
    renewed = await viewer.send("POST", "/mfa/recovery-codes", current_password=PASSWORD, **in_groups())
    assert renewed.status_code == 200
    printed = renewed.json()["recovery_codes"]
    dashed, spaced, bare, odd = (
        printed[0],
        printed[1].upper().replace("-", " "),
        printed[2].replace("-", ""),
        " " + printed[3].replace("-", "\u2009\u2013") + "\u00a0",
    )
    for typed in (dashed, spaced, bare, odd):
        tokens_of(await viewer.answer(await viewer.challenge(), typed))
    disabled = await viewer.send("DELETE", "/mfa/totp", current_password=PASSWORD, **in_groups())
    assert disabled.status_code == 204
    started = await viewer.send("POST", "/mfa/totp", current_password=PASSWORD)
    viewer.secret = started.json()["secret"]
    confirmed = await viewer.send("POST", "/mfa/totp/confirm", **in_groups())
    assert confirmed.status_code == 200, confirmed.text


async def test_mfa_2_what_cannot_be_a_code_is_422_and_costs_no_try(viewer: Viewer) -> None:
    challenge = await viewer.challenge()
    for typed in NO_CODES:
        for answer in (
            await viewer.answer(challenge, typed),
            await viewer.send("POST", "/auth/step-up", code=typed),
            await viewer.send("POST", "/mfa/recovery-codes", current_password=PASSWORD, code=typed),
            await viewer.send("DELETE", "/mfa/totp", current_password=PASSWORD, code=typed),
            await viewer.send("POST", "/mfa/totp/confirm", code=typed),
        ):
            assert error_of(answer) == (422, "validation_error"), typed
            assert typed.strip() == "" or typed not in answer.text
    tokens_of(await viewer.answer(challenge, viewer.code()))


async def test_an_enrolment_is_confirmed_by_digits_alone(api: Api) -> None:
    """A recovery code cannot be meant: there is none yet."""
    _, tokens = await api.as_role()
    await api.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)
    body = {"code": recovery_codes.new_codes()[0]}
    answer = await api.http.post(f"{V1}/mfa/totp/confirm", json=body, headers=tokens.bearer)
    assert error_of(answer) == (422, "validation_error")
    assert [item["message"] for item in answer.json()["fields"]] == ["must be six digits"]
