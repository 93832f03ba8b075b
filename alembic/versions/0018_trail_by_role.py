"""The audit trail is asked who had a role at a moment.

Revision: 0018, after 0017
"""

import sqlalchemy as sa

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index_concurrently(
        "ix_audit_log_role_before",
        "audit_log",
        [sa.text("(coalesce(after, before) ->> 'role')"), "target_id", "id"],
        postgresql_where=sa.text("action IN ('role.granted', 'role.revoked') AND before IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_audit_log_role_before", "audit_log")
