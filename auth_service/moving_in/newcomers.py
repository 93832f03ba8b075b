"""Newcomers: accounts as a file has them, checked as far as it can be done without the database."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from auth_service.core.confusables import look
from auth_service.core.http.error_answers import explain_field
from auth_service.core.passwords.foreign_hashes import as_stored
from auth_service.core.passwords.hashing import is_known_hash
from auth_service.core.schemas import EARLIEST
from auth_service.users.identifiers import canonical_email, canonical_login
from auth_service.users.schemas import Email, FullName, Login

# As the API takes them, white space around them left out.
_LOGIN: TypeAdapter[str] = TypeAdapter(Login)
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
_FULL_NAME: TypeAdapter[str] = TypeAdapter(FullName)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """`place` is where an operator finds it: `line 7`, `user 7`.

    Without a login it gets one that is free; without a hash it has no password yet. `seed`: base32, of an
    authenticator that it goes on using. No hash and no seed is in its representation.
    """

    place: str
    login: str | None
    email: str
    full_name: str | None = None
    password_hash: str | None = field(default=None, repr=False)
    roles: tuple[str, ...] = ()
    email_verified: bool = False
    is_active: bool = True
    created_at: datetime | None = None
    seed: str | None = field(default=None, repr=False)

    @property
    def login_key(self) -> str | None:
        return None if self.login is None else canonical_login(self.login)

    @property
    def email_key(self) -> str:
        return canonical_email(self.email)[1]


@dataclass(slots=True)
class Draft:
    """What a file says of one account, as texts; empty: it says nothing."""

    login: str = ""
    email: str = ""
    full_name: str = ""
    password_hash: str = field(default="", repr=False)
    roles: tuple[str, ...] = ()
    email_verified: bool = False
    is_active: bool = True
    created_at: datetime | None = None
    seed: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Plan:
    """`problems`, `look_alikes` and `remarks` are lines for the operator: place and words, never a hash or a seed.

    `look_alikes`: problems for whoever does not keep them. `left`: what the file has and we do not, with how often.
    `new_logins`: whose login cannot be one of ours gets another, instead of being a problem.
    """

    new_logins: bool = False
    newcomers: list[Newcomer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    look_alikes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    _places: dict[str, str] = field(default_factory=dict)
    _looks: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, read: Callable[[], Draft | None]) -> None:
        """The account, or the problem with it. `read` gives None for what is left out, and raises ValueError with words
        for the operator.
        """
        try:
            draft = read()
            if draft is None:
                return
            if self.new_logins and not _may_be_login(draft.login):
                self.left["login"] += 1
                draft.login = ""
            newcomer = _checked(place, draft)
        except ValueError as error:
            self.problems.append(f"{place}: {error}")
            return
        keys = [key for key in (newcomer.login_key, newcomer.email_key) if key is not None]
        doubles = [self._places[key] for key in keys if key in self._places]
        if doubles:
            self.problems.append(f"{place}: the same login or email as {doubles[0]}")
            return
        self.newcomers.append(newcomer)
        self._places |= dict.fromkeys(keys, place)
        if newcomer.login is not None and (like := self._looks.setdefault(look(newcomer.login), place)) != place:
            self.look_alikes.append(f"{place}: the login looks like that of {like}")

    def map_roles(self, names: dict[str, str]) -> None:
        """Each role by the name that it has here."""
        self.newcomers = [
            _with_roles(newcomer, dict.fromkeys(names.get(role, role) for role in newcomer.roles))
            for newcomer in self.newcomers
        ]

    def keep_roles(self, known: Collection[str]) -> None:
        """Leaves out all others."""
        unknown = Counter(role for newcomer in self.newcomers for role in newcomer.roles if role not in known)
        self.left.update({f"role {shown(role)}": count for role, count in unknown.items()})
        self.newcomers = [
            _with_roles(newcomer, [role for role in newcomer.roles if role in known]) for newcomer in self.newcomers
        ]


def shown(name: str) -> str:
    """A name that the file gives, short and without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in name[:64])


def in_words(error: ValidationError) -> str:
    """The first field that is wrong, and how; nothing of what stands in it."""
    explained = explain_field(error.errors()[0])
    return f"{explained['field']} {explained['message']}".strip()


def moment(text: str) -> datetime | None:
    """ISO 8601 as databases write it; UTC where it has no zone. Raises ValueError."""
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("created_at must be a time such as 2020-01-31T12:00:00Z") from None
    value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if value < EARLIEST:
        raise ValueError("created_at must not lie before the year 1970")
    return value


def _with_roles(newcomer: Newcomer, roles: Collection[str]) -> Newcomer:
    return replace(newcomer, roles=tuple(roles))


def _may_be_login(text: str) -> bool:
    try:
        _LOGIN.validate_python(text)
    except ValidationError:
        return False
    return True


def _checked(place: str, draft: Draft) -> Newcomer:
    email = _typed(_EMAIL, "email", draft.email)
    # Many systems log in with the address and keep it as the login too. Ours has no @; the address still logs in.
    unsaid = {"", email.lower(), draft.email.strip().lower()}
    login = None if draft.login.strip().lower() in unsaid else _typed(_LOGIN, "login", draft.login)
    return Newcomer(
        place=place,
        login=login,
        email=email,
        full_name=_typed(_FULL_NAME, "full_name", draft.full_name) if draft.full_name.strip() else None,
        password_hash=_bearable(draft.password_hash) if draft.password_hash else None,
        roles=draft.roles,
        email_verified=draft.email_verified,
        is_active=draft.is_active,
        created_at=draft.created_at,
        seed=draft.seed,
    )


def _typed(kind: TypeAdapter[str], name: str, value: str) -> str:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{name} {explain_field(error.errors()[0])['message']}") from None


def _bearable(text: str) -> str:
    try:
        stored = as_stored(text)
    except ValueError as error:
        raise ValueError(f"password_hash {error}") from None
    if not is_known_hash(stored):
        raise ValueError("password_hash is broken, or so dear that one login would take seconds")
    return stored
