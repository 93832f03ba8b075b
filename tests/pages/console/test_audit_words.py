"""The audit trail on pages: each action and each field has words in each language."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import auth_service
from auth_service.admin.accounts_schemas import AccountPatch
from auth_service.audit.schemas import GROUPS as GROUPS_OF_THE_API
from auth_service.audit.schemas import AuditEntry
from auth_service.audit.trail import Action
from auth_service.pages.catalogue import catalogue
from auth_service.pages.console.audit_words import ACTIONS, FIELDS, GROUPS, VALUES, lines
from auth_service.pages.local_words import LocalWords
from auth_service.permissions.catalogue import PermissionSpec
from auth_service.roles.many_grants import Act
from auth_service.roles.role import RoleSpec
from auth_service.webhooks.delivery import FAILED, GONE
from tests.support.access import grant
from tests.support.api import Api
from tests.support.reader import newest_row, signed_in

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
MOSCOW = LocalWords("ru", timezone(timedelta(hours=3), "MSK"), NOON)
FACTS = {"before", "after", "facts", "counts"}  # what modules call that which a row has


def row(before: dict[str, object] | None, after: dict[str, object] | None) -> AuditEntry:
    known = dict.fromkeys(AuditEntry.model_fields)
    return AuditEntry.model_construct(**known | {"before": before, "after": after})


def written() -> Iterator[str]:
    """The names in the dicts that rows are made of, as the source has them."""
    for path in Path(auth_service.__file__).parent.rglob("*.py"):
        source = path.read_text()
        if "write_act" in source or "_facts(" in source:
            for function in ast.walk(ast.parse(source)):
                if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                    yield from names_in(function)


def names_in(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        is_facts = target is not None and FACTS & {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
        is_argument = isinstance(node, ast.keyword) and node.arg in FACTS
        is_answer = isinstance(node, ast.Return) and getattr(function, "name", "").endswith("_facts")
        if is_facts or is_argument or is_answer:
            dicts = [part for part in ast.walk(node) if isinstance(part, ast.Dict)]
            yield from (key.value for part in dicts for key in part.keys if isinstance(key, ast.Constant))


def test_each_action_field_and_code_has_words() -> None:
    assert ACTIONS.keys() == set(Action)
    assert GROUPS.keys() == set(GROUPS_OF_THE_API)
    found = {*written()}
    assert {"role", "users_logged_out", "disabled_reason", "host", "signs_from"} <= found, "the search finds them"
    found |= {field.name for spec in (RoleSpec, PermissionSpec) for field in fields(spec)}
    found |= AccountPatch.model_fields.keys() - {"reason"}
    assert found <= FIELDS.keys()
    assert VALUES["act"].keys() == set(Act)
    assert VALUES["disabled_reason"].keys() == {FAILED, GONE}
    russian = catalogue("ru").gettext
    codes = [words for codes in VALUES.values() for words in codes.values()]
    for words in (*ACTIONS.values(), *GROUPS.values(), *FIELDS.values(), *codes):
        assert russian(words) != words, words


def test_a_change_is_said_in_the_readers_language_and_zone() -> None:
    grant_of = {"role": "critic", "valid_from": NOON.isoformat(), "valid_until": None}
    assert lines(row(None, grant_of), MOSCOW) == [
        "роль: critic",
        "начало: 31 января 2030, 15:00 MSK",
        "конец: без срока",
    ]
    role = {"title": "Critic", "permissions": ["a:b"], "session_limit": None}
    assert lines(row(role, None), MOSCOW) == ['название: было "Critic"', "права: −a:b"]
    assert lines(row(role, role | {"session_limit": 3}), MOSCOW) == ["предел сеансов: нет → 3"]
    after = {"changed": ["email", "is_active"], "is_active": False}
    assert lines(row({"is_active": True}, after), MOSCOW) == [
        "активна: да → нет",
        "что изменено: адрес почты, активна",
    ]
    assert lines(row(None, {"act": "grant", "of a later version": "x"}), MOSCOW) == [
        "что сделать: выдать",
        "of a later version: x",
    ]


async def test_the_page_says_it_in_russian(api: Api) -> None:
    account, (_, tokens) = await api.create_user(), await api.as_role("admin")
    await grant(api, tokens, account.id, "subscriber")
    _, reader = await signed_in(api, "admin", language="ru")
    for path in ("", f"/{await newest_row(api, account, tokens)}"):
        page = await reader.open(f"/console/audit{path or f'?target={account.id}'}")
        assert "Роль выдана" in page.words
        assert "роль: subscriber" in page.words
        assert "конец: без срока" in page.words
