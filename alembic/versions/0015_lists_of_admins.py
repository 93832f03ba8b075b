"""Indexes in the orders in which grants and the audit trail are listed; two are in place of narrower ones.

The version before asks by the first column of each, so it needs none of those that go.

Revision: 0015, after 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NEW = {
    "ix_user_roles_role_name_user_id": ("user_roles", ["role_name", "user_id"]),
    "ix_user_roles_granted_by_user_id_role_name": ("user_roles", ["granted_by", "user_id", "role_name"]),
    "ix_user_roles_valid_from_user_id_role_name": ("user_roles", ["valid_from", "user_id", "role_name"]),
    "ix_user_roles_valid_until_user_id_role_name": ("user_roles", ["valid_until", "user_id", "role_name"]),
    "ix_audit_log_at_id": ("audit_log", ["at", "id"]),
}
OLD = {
    "ix_user_roles_role_name": ("user_roles", ["role_name"]),
    "ix_user_roles_granted_by": ("user_roles", ["granted_by"]),
}


def upgrade() -> None:
    for name, (table, columns) in NEW.items():
        op.create_index_concurrently(name, table, columns)
    for name, (table, _) in OLD.items():
        op.drop_index(name, table_name=table, if_exists=True)


def downgrade() -> None:
    for name, (table, columns) in OLD.items():
        op.create_index_concurrently(name, table, columns)
    for name, (table, _) in NEW.items():
        op.drop_index(name, table_name=table, if_exists=True)
