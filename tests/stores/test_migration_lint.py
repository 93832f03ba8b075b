"""Planted migrations: each bad one is found by the name of its rule, each good one is let through."""

from pathlib import Path

import pytest

from scripts.lint_migrations import RULES, lint
from tests.support.planted_migrations import NEWEST, plant

BAD = [
    ("contract", "op.drop_column('users', 'full_name')"),
    ("contract", "op.drop_table('devices')"),
    ("contract", "op.rename_table('devices', 'gadgets')"),
    ("contract", "op.alter_column('users', 'full_name', new_column_name='name')"),
    ("contract", "op.execute('DROP TABLE devices')"),
    ("contract", "op.execute('DROP FUNCTION refuse_audit_change()')"),
    ("not_null_without_default", "op.add_column('users', sa.Column('age', sa.BigInteger(), nullable=False))"),
    ("not_null_without_default", "op.alter_column('users', 'full_name', nullable=False)"),
    ("type_change", "op.alter_column('users', 'full_name', type_=sa.String(40))"),
    ("enum_change", "op.execute(\"ALTER TYPE colour ADD VALUE 'red'\")"),
    ("enum_change", "op.execute(\"CREATE TYPE colour AS ENUM ('red')\")"),
    ("enum_change", "op.add_column('users', sa.Column('colour', sa.Enum('red', name='colour')))"),
    (
        "volatile_default",
        "op.add_column('users', sa.Column('x', sa.Uuid(), server_default=sa.text('gen_random_uuid()')))",
    ),
    (
        "volatile_default",
        "op.add_column('users', sa.Column('x', sa.DateTime(), server_default=sa.text('clock_timestamp()')))",
    ),
    ("volatile_default", "op.add_column('users', sa.Column('x', sa.BigInteger(), sa.Identity()))"),
    ("volatile_default", "op.add_column('users', sa.Column('x', sa.Text(), sa.Computed('lower(login)')))"),
    ("blocking_index", "op.create_index('ix_users_name', 'users', ['full_name'])"),
    ("blocking_index", "op.create_unique_constraint('uq_users_name', 'users', ['full_name'])"),
    ("blocking_index", "op.add_column('users', sa.Column('x', sa.Text(), unique=True))"),
    ("blocking_index", "op.execute('CREATE UNIQUE INDEX ix_users_name ON users (full_name)')"),
    ("validating_constraint", "op.create_check_constraint('ck_users_name', 'users', \"full_name <> ''\")"),
    ("validating_constraint", "op.create_foreign_key('fk_x', 'audit_log', 'users', ['actor_id'], ['login'])"),
    ("update_without_batches", "op.execute('UPDATE sessions SET device_name = NULL')"),
    ("update_without_batches", "op.execute('SELECT 1; /* old */ DELETE FROM  login_history')"),
    ("update_without_batches", "op.execute(sa.update(sa.table('users', sa.column('epoch'))).values(epoch=0))"),
    ("raw_statement", "op.execute('ALTER TABLE users ADD COLUMN age int NOT NULL')"),
    ("raw_statement", "op.execute('WITH gone AS (DELETE FROM users RETURNING id) SELECT 1')"),
    ("raw_statement", "op.execute('VACUUM FULL users')"),
    ("hidden_statement", "op.get_bind().execute(sa.text('UPDATE users SET epoch = 0'))"),
    (
        "not_alone",
        "op.add_column('users', sa.Column('x', sa.Text()))\n"
        "    op.create_index_concurrently('ix_users_x', 'users', ['x'])",
    ),
    (
        "not_alone",
        "op.create_index_concurrently('ix_users_x', 'users', ['full_name'])\n"
        "    op.drop_index('ix_devices_user_id', 'devices')",
    ),
]
GOOD = [
    "op.add_column('users', sa.Column('age', sa.BigInteger(), nullable=True))",
    "op.add_column('users', sa.Column('age', sa.BigInteger(), server_default=sa.text('0'), nullable=False))",
    "op.add_column('users', sa.Column('at', sa.DateTime(), server_default=sa.text('now()'), nullable=False))",
    "op.create_index_concurrently('ix_users_name', 'users', ['full_name'])",
    "op.create_index_concurrently('ix_users_name', 'users', ['full_name'])\n"
    "    op.create_index_concurrently('ix_users_epoch', 'users', ['epoch'])\n"
    "    op.drop_index('ix_devices_user_id', 'devices', if_exists=True)",
    "op.update_in_batches('users', assign='epoch = 1', where='epoch = 0')",
    "op.create_check_constraint('ck_x', 'users', \"full_name <> ''\", postgresql_not_valid=True)",
    "op.execute('ALTER TABLE users VALIDATE CONSTRAINT ck_x')",
    "op.execute(\"UPDATE roles SET title = 'x; DROP TABLE users'\")",
    "op.execute('CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ UPDATE users SET epoch = 0; SELECT 1 $$')",
    "op.create_table('new', sa.Column('id', sa.Uuid(), primary_key=True))\n"
    "    op.create_index('ix_new_id', 'new', ['id'])\n"
    "    op.create_foreign_key('fk_new_id', 'new', 'users', ['id'], ['id'])\n"
    "    op.execute('UPDATE new SET id = NULL')",
]


def _rules(folder: Path) -> list[str]:
    return [finding.rule for finding in lint(folder) if finding.revision == "planted"]


@pytest.mark.parametrize(("rule", "upgrade"), BAD)
def test_rel_8_a_migration_that_stops_the_traffic_is_refused(tmp_path: Path, rule: str, upgrade: str) -> None:
    plant(tmp_path, upgrade)
    assert _rules(tmp_path) == [rule]


@pytest.mark.parametrize("upgrade", GOOD)
def test_rel_8_a_migration_that_nobody_notices_is_let_through(tmp_path: Path, upgrade: str) -> None:
    plant(tmp_path, upgrade)
    assert _rules(tmp_path) == []


@pytest.mark.parametrize("downgrade", ["pass", "raise NotImplementedError"])
def test_rel_8_every_migration_has_a_way_back(tmp_path: Path, downgrade: str) -> None:
    plant(tmp_path, "op.add_column('users', sa.Column('age', sa.BigInteger()))", downgrade)
    assert _rules(tmp_path) == ["missing_downgrade"]


@pytest.mark.parametrize(
    ("doc", "found"),
    [(f"Contract: {NEWEST}", []), ("Contract: planted", ["contract"]), ("Contract: 9999", ["contract"])],
)
def test_rel_8_what_an_earlier_revision_gave_up_may_be_dropped(tmp_path: Path, doc: str, found: list[str]) -> None:
    plant(tmp_path, "op.drop_column('users', 'full_name')", doc=doc)
    assert _rules(tmp_path) == found


def test_rel_8_the_migrations_of_this_project_pass() -> None:
    assert lint() == []


def test_every_rule_has_a_bad_example() -> None:
    assert {rule for rule, _ in BAD} | {"missing_downgrade"} == set(RULES)
