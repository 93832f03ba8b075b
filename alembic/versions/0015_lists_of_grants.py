"""Indexes in the orders in which grants are listed, two of them in place of narrower ones.

The version before asks by the first column of each, so it needs none of those that go.

Revision: 0015, after 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLE = "user_roles"
NEW = {
    "ix_user_roles_by_role": ["role_name", "user_id"],
    "ix_user_roles_by_granter": ["granted_by", "user_id", "role_name"],
    "ix_user_roles_by_start": ["valid_from", "user_id", "role_name"],
    "ix_user_roles_by_end": ["valid_until", "user_id", "role_name"],
}
OLD = {"ix_user_roles_role_name": ["role_name"], "ix_user_roles_granted_by": ["granted_by"]}


def upgrade() -> None:
    for name, columns in NEW.items():
        op.create_index_concurrently(name, TABLE, columns)
    for name in OLD:
        op.drop_index(name, table_name=TABLE, if_exists=True)


def downgrade() -> None:
    for name, columns in OLD.items():
        op.create_index_concurrently(name, TABLE, columns)
    for name in NEW:
        op.drop_index(name, table_name=TABLE, if_exists=True)
