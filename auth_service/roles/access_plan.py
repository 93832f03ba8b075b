"""What a file of permissions and roles would change, and the change itself: one transaction, all or nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.words import differences
from auth_service.core.connections import Resources
from auth_service.core.errors import AppError, ValidationFailed
from auth_service.locks import lock_access_rules
from auth_service.permissions.actor import Actor
from auth_service.permissions.catalogue import (
    PermissionSpec,
    create_permission_in,
    delete_permission_in,
    update_permission_in,
)
from auth_service.permissions.codes import OWN_CODES
from auth_service.permissions.keepers import keeping_administration
from auth_service.permissions.repository import list_permissions
from auth_service.permissions.what_if.trial import Trial, changing
from auth_service.roles import repository, service
from auth_service.roles.access_file import AccessFile, PermissionEntry, RoleEntry
from auth_service.roles.hierarchy import Hierarchy
from auth_service.roles.role import RoleSpec

Entry = PermissionEntry | RoleEntry


class Sign(StrEnum):
    ADD, CHANGE, DELETE = "+", "~", "-"


@dataclass(frozen=True, slots=True)
class Change:
    """`what`: permission or role. `before` is None for what is added, `after` for what is deleted."""

    what: str
    name: str
    before: Entry | None
    after: Entry | None

    @property
    def sign(self) -> Sign:
        if self.before is None:
            return Sign.ADD
        return Sign.DELETE if self.after is None else Sign.CHANGE


def describe(change: Change) -> list[str]:
    """A line for each part that differs, as the audit trail says it. Nothing for what is deleted."""
    if change.after is None:
        return []
    return differences(None if change.before is None else change.before.model_dump(), change.after.model_dump())


async def export(resources: Resources) -> AccessFile:
    """All but built-in roles, which nobody can change; as it is between two changes."""
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        return await _current(session, built_in=False)


async def plan(
    resources: Resources, actor: Actor, wanted: AccessFile, *, prune: bool, trial: Trial
) -> Sequence[Change]:
    """What `apply` would do now, refused as it would be: done, and undone again; then `trial` can tell whom."""
    async with changing(resources, trial) as session, keeping_administration(resources, session):
        return await _apply(resources, session, actor, wanted, prune=prune)


async def apply(resources: Resources, actor: Actor, wanted: AccessFile, *, prune: bool) -> Sequence[Change]:
    """Raises what a change by REST would, with the name of what it is about; then nothing is done.

    The plan is made under the access lock: of what is there when it is applied, not when it was shown.
    """
    async with resources.db.begin() as session, keeping_administration(resources, session):
        return await _apply(resources, session, actor, wanted, prune=prune)


async def _apply(
    resources: Resources, session: AsyncSession, actor: Actor, wanted: AccessFile, *, prune: bool
) -> Sequence[Change]:
    """In the caller's transaction, under the access lock."""
    current = await _current(session, built_in=True)
    kept = OWN_CODES | {role.name for role in await repository.list_roles(session) if role.built_in}
    permissions = _compare("permission", current.permissions, wanted.permissions, kept, prune=prune)
    roles = _compare("role", current.roles, wanted.roles, kept, prune=prune)
    for change in permissions:
        if change.after is not None:
            with _named(change):
                await _write_permission(resources, session, actor, change)
    planned = await _planned(session, roles)
    for change in _in_order(roles, wanted.roles):
        with _named(change):
            await _write_role(resources, session, actor, planned, change)
    for change in permissions:
        if change.after is None:
            with _named(change):
                await delete_permission_in(resources, session, actor, change.name)
    return [*permissions, *roles]


async def _current(session: AsyncSession, *, built_in: bool) -> AccessFile:
    patterns, parents = await repository.links(session)
    codes = await list_permissions(session)
    roles = [role for role in await repository.list_roles(session) if built_in or not role.built_in]
    return AccessFile.model_construct(
        version=1,
        permissions={item.code: PermissionEntry.model_construct(**_parts(item, PermissionEntry)) for item in codes},
        roles={
            role.name: RoleEntry.model_construct(
                title=role.title,
                description=role.description,
                permissions=patterns[role.name],
                parents=parents[role.name],
                session_limit=role.session_limit,
            )
            for role in roles
        },
    )


def _parts(row: Any, kind: type[Entry]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in kind.model_fields}


def _compare(
    what: str, current: Mapping[str, Entry], wanted: Mapping[str, Entry], kept: Iterable[str], *, prune: bool
) -> list[Change]:
    """By name. `kept` are part of the service: a file that does not know them does not want them gone."""
    names = sorted(wanted.keys() | (current.keys() - set(kept) if prune else set()))
    changes = [Change(what, name, current.get(name), wanted.get(name)) for name in names]
    return [change for change in changes if _facts(change.before) != _facts(change.after)]


def _facts(entry: Entry | None) -> dict[str, Any] | None:
    """Lists are sets here."""
    if entry is None:
        return None
    return {name: set(value) if isinstance(value, list) else value for name, value in entry.model_dump().items()}


async def _planned(session: AsyncSession, roles: Sequence[Change]) -> Hierarchy:
    """All roles as they will be: first each by itself, so that a refusal can name it, then as a whole."""
    wanted = {change.name: change.after for change in roles if isinstance(change.after, RoleEntry)}
    known = {*wanted, *(role.name for role in await repository.list_roles(session))}
    for change in roles:
        if isinstance(change.after, RoleEntry):
            with _named(change):
                if not set(change.after.parents) <= known:
                    raise ValidationFailed("parents name a role that does not exist")
                await service.plan_roles(session, {change.name: (change.after.permissions, ())})
    return await service.plan_roles(
        session, {name: (entry.permissions, entry.parents) for name, entry in wanted.items()}
    )


def _in_order(changes: Sequence[Change], wanted: Mapping[str, RoleEntry]) -> list[Change]:
    """Parents before their children, since they must be there; deletions last, children before their parents."""
    by_name = {change.name: change for change in changes}
    ordered: dict[str, Change] = {}

    def visit(name: str, parents_of: Mapping[str, Sequence[str]]) -> None:
        for parent in parents_of.get(name, ()):
            if parent in by_name and parent not in ordered:
                visit(parent, parents_of)
        if name in by_name:
            ordered.setdefault(name, by_name[name])

    new_parents = {name: entry.parents for name, entry in wanted.items()}
    for change in changes:
        if change.after is not None:
            visit(change.name, new_parents)
    written = list(ordered.values())
    ordered.clear()
    old_parents = {change.name: change.before.parents for change in changes if isinstance(change.before, RoleEntry)}
    for change in changes:
        if change.after is None:
            visit(change.name, old_parents)
    return [*written, *(change for change in reversed(ordered.values()) if change.after is None)]


async def _write_permission(resources: Resources, session: AsyncSession, actor: Actor, change: Change) -> None:
    assert isinstance(change.after, PermissionEntry)  # noqa: S101
    write = create_permission_in if change.before is None else update_permission_in
    await write(resources, session, actor, change.name, PermissionSpec(**change.after.model_dump()))


async def _write_role(
    resources: Resources, session: AsyncSession, actor: Actor, planned: Hierarchy, change: Change
) -> None:
    if change.after is None:
        await service.delete_role_in(resources, session, actor, change.name)
    else:
        write = service.create_role_in if change.before is None else service.update_role_in
        await write(
            resources, session, actor, planned=planned, name=change.name, spec=RoleSpec(**change.after.model_dump())
        )


@contextmanager
def _named(change: Change) -> Iterator[None]:
    """Around what is done for one entry: its refusal says which it was."""
    try:
        yield
    except AppError as error:
        error.detail = f"{change.what} {change.name}: {error.detail}"
        raise
