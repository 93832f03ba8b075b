"""Refuses migrations that stop the traffic or the code of the version before (REL-8): `make lint` runs it.

The operations of each revision are recorded, not run: see what `RULES` says about them.
"""

import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import MigrateOperation, Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy.dialects import postgresql

from auth_service.core.stores.migrating import CreateIndexConcurrently, UpdateInBatches

ROOT = Path(__file__).resolve().parent.parent
# No installation was older than 0007 when the lint began: nobody ran these beside live code or on many rows.
BEFORE_THE_LINT = {"0001", "0002", "0003", "0004", "0005", "0006", "0007"}
# Some hundred rows at most: a change of all of them takes milliseconds.
SMALL = {"permissions", "roles", "role_parents", "role_permissions", "service_accounts", "service_secrets"}
SMALL |= {"signing_keys", "store_generation"}

RULES = {
    "contract": "the version before still uses what is dropped or renamed; drop it one version later, with a line "
    "'Contract: <revision that stopped using it>' in the docstring",
    "not_null_without_default": "the version before writes rows without it; give a server_default",
    "type_change": "rewrites the table under a lock; add a column of the new type instead",
    "enum_change": "types of Postgres cannot be changed beside live code; use text and a check",
    "volatile_default": "rewrites the table under a lock; add it nullable, and fill it with op.update_in_batches",
    "blocking_index": "stops writers while it is built; use op.create_index_concurrently",
    "validating_constraint": "reads the table under a lock; add it with postgresql_not_valid=True, validate it later",
    "update_without_batches": "locks all those rows until the commit; use op.update_in_batches",
    "not_alone": "commits in the middle, so a try that fails cannot be repeated; give it a revision of its own, or one "
    "with others that make indexes concurrently or drop them if_exists",
    "raw_statement": "cannot be judged; write it with an operation of alembic",
    "hidden_statement": "what goes past op cannot be judged; use op.execute",
    "missing_downgrade": "there is no way back; write downgrade()",
}


class Finding(NamedTuple):
    revision: str
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.revision}: {self.rule}: {self.what}: {RULES[self.rule]}"


class HiddenStatement(Exception):
    pass


def main() -> int:
    findings = lint()
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


def lint(*more_versions: Path) -> list[Finding]:
    """Of the project's revisions, and of those in other folders."""
    config = Config(str(ROOT / "alembic.ini"))
    if more_versions:
        folders = [str(ROOT / "alembic" / "versions"), *map(str, more_versions)]
        config.set_main_option("version_locations", ":".join(folders))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    ancestors = _ancestors(scripts)
    return [
        finding
        for script in reversed(scripts)
        if script.revision not in BEFORE_THE_LINT
        for finding in _lint_revision(script, ancestors[script.revision])
    ]


def _ancestors(scripts: Sequence[Script]) -> dict[str, set[str]]:
    """Of each revision those that ran before it."""
    found: dict[str, set[str]] = {}
    for script in reversed(scripts):
        parents = [parent for parent in _as_tuple(script.down_revision) if parent in found]
        found[script.revision] = set(parents).union(*(found[parent] for parent in parents))
    return found


def _as_tuple(revision: Any) -> tuple[str, ...]:
    return (revision,) if isinstance(revision, str) else tuple(revision or ())


def _lint_revision(script: Script, ancestors: set[str]) -> Iterator[Finding]:
    try:
        done = _recorded(script.module.upgrade)
    except HiddenStatement:
        yield Finding(script.revision, "hidden_statement", "op.get_bind or op.batch_alter_table")
        return
    marker = re.search(r"^Contract: (\S+)$", script.module.__doc__ or "", re.MULTILINE)
    revision = _Revision(frozenset(done.tables), contracts=marker is not None and marker[1] in ancestors)
    for operation in done.operations:
        for rule, what in revision.judge(operation):
            yield Finding(script.revision, rule, what)
    commits = [item for item in done.operations if isinstance(item, CreateIndexConcurrently | UpdateInBatches)]
    if commits and len(done.operations) > 1 and not all(map(_can_be_repeated, done.operations)):
        yield Finding(script.revision, "not_alone", type(commits[0]).__name__)
    if done.operations and not _goes_back(script):
        yield Finding(script.revision, "missing_downgrade", "downgrade()")


def _can_be_repeated(operation: MigrateOperation) -> bool:
    return isinstance(operation, CreateIndexConcurrently) or (
        isinstance(operation, ops.DropIndexOp) and operation.if_exists is True
    )


def _goes_back(script: Script) -> bool:
    downgrade = getattr(script.module, "downgrade", None)
    if downgrade is None:
        return False
    try:
        return bool(_recorded(downgrade).operations)
    except (HiddenStatement, NotImplementedError) as error:
        return isinstance(error, HiddenStatement)


@dataclass(frozen=True)
class _Recorded:
    operations: list[MigrateOperation]
    tables: set[str]  # that it makes


def _recorded(step: Callable[[], None]) -> _Recorded:
    """What it asks of alembic; nothing is done. Raises HiddenStatement."""
    recorded = _Recorded([], set())

    def record(operation: MigrateOperation) -> None:
        recorded.operations.append(operation)
        if isinstance(operation, ops.CreateTableOp):
            recorded.tables.add(operation.table_name)

    def hide(*_given: Any, **_options: Any) -> None:
        raise HiddenStatement

    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": io.StringIO()}
    )
    with Operations.context(context) as operations:
        operations.invoke = record  # type: ignore[method-assign]
        operations.get_bind = operations.batch_alter_table = hide  # type: ignore[method-assign,assignment]
        try:
            step()
        except HiddenStatement:
            operations._remove_proxy()  # alembic's own context forgets it after an exception
            raise
    return recorded


@dataclass(frozen=True)
class _Revision:
    made: frozenset[str]  # tables of its own: nobody uses them yet
    contracts: bool

    def judge(self, operation: MigrateOperation) -> Iterator[tuple[str, str]]:
        table = getattr(operation, "table_name", None)
        if table in self.made and not isinstance(operation, ops.ExecuteSQLOp):
            return
        match operation:
            case ops.AddColumnOp():
                yield from self._added(table, operation.column)
            case ops.AlterColumnOp():
                yield from self._altered(operation)
            case ops.DropColumnOp() if not self.contracts:
                yield "contract", f"{table}.{operation.column_name}"
            case ops.DropTableOp() | ops.RenameTableOp() if not self.contracts:
                yield "contract", str(table)
            case ops.CreateIndexOp() | ops.CreateUniqueConstraintOp() | ops.CreatePrimaryKeyOp():
                yield "blocking_index", str(table)
            case ops.CreateForeignKeyOp(source_table=source) if source in self.made:
                return
            case ops.CreateForeignKeyOp() | ops.CreateCheckConstraintOp():
                if not operation.kw.get("postgresql_not_valid"):
                    yield "validating_constraint", str(operation.constraint_name)
            case ops.ExecuteSQLOp():
                yield from self._executed(operation.sqltext)

    def _added(self, table: Any, column: sa.Column[Any]) -> Iterator[tuple[str, str]]:
        name = f"{table}.{column.name}"
        if column.server_default is None and not column.nullable:
            yield "not_null_without_default", name
        if column.server_default is not None and not _is_stable(column.server_default):
            yield "volatile_default", name
        if column.unique or column.index or column.primary_key:
            yield "blocking_index", name
        if isinstance(column.type, sa.Enum) and column.type.native_enum:
            yield "enum_change", name

    def _altered(self, operation: ops.AlterColumnOp) -> Iterator[tuple[str, str]]:
        name = f"{operation.table_name}.{operation.column_name}"
        if operation.modify_type is not None:
            yield "type_change", name
        if operation.modify_nullable is False:
            yield "not_null_without_default", name
        if operation.modify_name is not None and not self.contracts:
            yield "contract", name

    def _executed(self, given: Any) -> Iterator[tuple[str, str]]:
        text = given if isinstance(given, str) else str(given.compile(dialect=postgresql.dialect()))
        for statement in _statements(text):
            for pattern, rule in _KNOWN:
                if (found := pattern.match(statement)) is not None:
                    table = found.groupdict().get("table")
                    harmless = table is not None and (table in self.made or (table in SMALL and rule == _SLOW))
                    if rule is not None and not harmless and not (rule == "contract" and self.contracts):
                        yield rule, statement[:60]
                    break
            else:
                yield "raw_statement", statement[:60]


def _is_stable(default: Any) -> bool:
    """A constant, or now(), which is one for the whole statement: no row has to be written."""
    if not isinstance(default, sa.DefaultClause):
        return False  # Identity and Computed are written into each row
    text = default.arg if isinstance(default.arg, str) else str(default.arg)
    return "(" not in text.replace("now()", "") or text.startswith("'")


_SLOW = "update_without_batches"
_TABLE = r'(?:only )?(?:public\.)?"?(?P<table>\w+)"?'
# The first that fits says what a statement is; None: harmless.
_KNOWN = [
    (re.compile(pattern, re.IGNORECASE), rule)
    for pattern, rule in (
        (r"(alter|drop) type\b|create type\b.* as enum", "enum_change"),
        (rf"create (unique )?index\b.*? on {_TABLE}", "blocking_index"),
        (rf"(update|delete from) {_TABLE}", _SLOW),
        (r"drop (function|sequence|trigger|view|materialized view)\b", "contract"),
        (rf"drop table (if exists )?{_TABLE}", "contract"),
        (rf"alter table (if exists )?{_TABLE} validate constraint", None),
        (rf"alter table (if exists )?{_TABLE}", "raw_statement"),
        (r"(create|insert|select|set|comment|grant|revoke|analyze)\b", None),
    )
]


def _statements(text: str) -> list[str]:
    """Without comments, and without what stands in quotes: a function's body is nobody's statement yet."""
    text = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", "''", text, flags=re.DOTALL)
    return [" ".join(part.split()) for part in text.split(";") if part.strip()]


if __name__ == "__main__":
    sys.exit(main())
