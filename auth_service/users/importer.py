"""Accounts of an older system from a CSV file, with their password hashes: nobody has to choose a new password."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import IntegrityError

from auth_service.audit.trail import Action, Target, operator, write_act
from auth_service.core.confusables import look
from auth_service.core.connections import Resources
from auth_service.core.http.error_answers import explain_field
from auth_service.core.passwords.hashing import is_known_hash
from auth_service.events.kinds import Event, NewUser, RoleGranted
from auth_service.events.outbox import record
from auth_service.models import new_id
from auth_service.users import look_alikes, repository
from auth_service.users.identifiers import canonical_email, canonical_login
from auth_service.users.schemas import Email, FullName, Login

REQUIRED = {"login", "email", "password_hash"}
COLUMNS = REQUIRED | {"full_name"}
CHUNK = 500
# As the API takes them, white space around them left out.
_LOGIN: TypeAdapter[str] = TypeAdapter(Login)
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
_FULL_NAME: TypeAdapter[str] = TypeAdapter(FullName)


@dataclass(frozen=True, slots=True)
class ImportedUser:
    line: int
    login: str
    login_key: str
    look: str
    email: str
    email_key: str
    full_name: str | None
    password_hash: str


@dataclass(slots=True)
class ImportPlan:
    """`problems` are lines for the operator: the line number and what is wrong, never a hash.

    `look_alikes`: the same of logins that look like each other, for whoever does not keep them.
    """

    users: list[ImportedUser] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    look_alikes: list[str] = field(default_factory=list)


def read_csv(path: Path) -> ImportPlan:
    """Everything that can be known to be wrong without the database; reads the whole file, writes nothing."""
    plan = ImportPlan()
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            header = list(reader.fieldnames or ())
            if not REQUIRED <= set(header) <= COLUMNS or len(set(header)) < len(header):
                plan.problems.append("line 1: the columns must be login, email, password_hash and maybe full_name")
                return plan
            _read_rows(reader, plan)
        except (csv.Error, UnicodeDecodeError) as error:
            plan.problems.append(f"after line {reader.line_num}: not a CSV file in UTF-8 ({type(error).__name__})")
    return plan


async def mark_taken(resources: Resources, plan: ImportPlan) -> set[int]:
    """Line numbers whose login or e-mail address is already taken here."""
    taken: set[int] = set()
    async with resources.db() as session:
        for chunk in _chunks(plan.users):
            keys = await repository.existing_keys(
                session, [user.login_key for user in chunk], [user.email_key for user in chunk]
            )
            taken |= {user.line for user in chunk if user.login_key in keys or user.email_key in keys}
    return taken


async def find_look_alikes(resources: Resources, users: Sequence[ImportedUser]) -> list[int]:
    """Line numbers whose login looks like that of an account here; call it without those whose login is taken."""
    found: list[int] = []
    async with resources.db() as session:
        for chunk in _chunks(users):
            looks = await look_alikes.taken_looks(session, [user.look for user in chunk])
            found += [user.line for user in chunk if user.look in looks]
    return found


async def import_users(
    resources: Resources,
    users: Sequence[ImportedUser],
    on_progress: Callable[[int], None],
    *,
    keep_look_alikes: bool = False,
) -> None:
    """All of them or none: one transaction, each with the default role. `on_progress` gets how many more are in.

    `keep_look_alikes`: their owners have had these logins for long.
    """
    try:
        await _import_users(resources, users, on_progress, keep_look_alikes=keep_look_alikes)
    except IntegrityError as error:
        raise repository.taken(error) from None  # by a registration since `mark_taken`


async def _import_users(
    resources: Resources,
    users: Sequence[ImportedUser],
    on_progress: Callable[[int], None],
    *,
    keep_look_alikes: bool,
) -> None:
    now = resources.clock()
    looks: list[tuple[UUID, str]] = []
    async with resources.db.begin() as session:
        for chunk in _chunks(users):
            rows: list[dict[str, Any]] = [
                {
                    "id": new_id(),
                    "login": user.login,
                    "login_key": user.login_key,
                    "email": user.email,
                    "email_key": user.email_key,
                    "full_name": user.full_name,
                    "password_hash": user.password_hash,
                    "created_at": now,
                    "updated_at": now,
                }
                for user in chunk
            ]
            role = resources.settings.default_role
            grants = [
                {"user_id": row["id"], "role_name": role, "valid_from": now, "granted_at": now, "reason": "imported"}
                for row in rows
            ]
            await repository.insert_many(session, rows, grants)
            events: list[Event] = []
            for row in rows:
                created = {"username": row["login"], "full_name": row["full_name"], "created_at": now}
                granted = {"role": role, "valid_from": now, "valid_until": None, "by": None}
                events += [NewUser(user_id=row["id"], **created), RoleGranted(user_id=row["id"], **granted)]
            await record(resources, session, *events)
            looks += [(row["id"], user.look) for row, user in zip(rows, chunk, strict=True)]
            on_progress(len(chunk))
        # Last: who registers meanwhile has an address that no chunk after it can still wait for.
        for number in range(0, len(looks), CHUNK):
            await look_alikes.claim_many(session, looks[number : number + CHUNK], checked=not keep_look_alikes)
        write_act(session, operator(), Action.USERS_IMPORTED, Target("user", None), at=now, after={"count": len(users)})


def _read_rows(reader: "csv.DictReader[str]", plan: ImportPlan) -> None:
    seen: dict[str, int] = {}
    looks: dict[str, int] = {}
    for row in reader:
        line = reader.line_num  # as an editor counts: empty lines and line breaks in a field are lines too
        try:
            user = _read_row(line, row)
        except ValueError as error:
            plan.problems.append(f"line {line}: {error}")
            continue
        doubles = [seen[key] for key in (user.login_key, user.email_key) if key in seen]
        if doubles:
            plan.problems.append(f"line {line}: the same login or email as line {doubles[0]}")
            continue
        plan.users.append(user)
        seen |= {user.login_key: line, user.email_key: line}
        if (like := looks.setdefault(user.look, line)) != line:
            plan.look_alikes.append(f"line {line}: the login looks like that of line {like}")


def _read_row(line: int, row: dict[str, str]) -> ImportedUser:
    if None in row or None in row.values():
        raise ValueError("has another number of fields than the first line")
    if not is_known_hash(row["password_hash"]):
        raise ValueError("password_hash must be a bcrypt ($2b$…) or argon2 ($argon2id$…) hash of bearable cost")
    login, email = _checked(_LOGIN, "login", row), _checked(_EMAIL, "email", row)
    full_name = _checked(_FULL_NAME, "full_name", row) if row.get("full_name", "").strip() else None
    email_key = canonical_email(email)[1]
    return ImportedUser(
        line, login, canonical_login(login), look(login), email, email_key, full_name, row["password_hash"]
    )


def _checked(kind: TypeAdapter[str], name: str, row: dict[str, str]) -> str:
    try:
        return kind.validate_python(row[name])
    except ValidationError as error:
        raise ValueError(f"{name} {explain_field(error.errors()[0])['message']}") from None


def _chunks(users: Sequence[ImportedUser]) -> Iterable[Sequence[ImportedUser]]:
    return (users[start : start + CHUNK] for start in range(0, len(users), CHUNK))
