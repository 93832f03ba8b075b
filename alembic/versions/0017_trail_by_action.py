"""The audit trail is asked for the few rows that changed roles, permissions, or who is active.

Revision: 0017, after 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index_concurrently(op.f("ix_audit_log_action_id"), "audit_log", ["action", "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_audit_log_action_id"), "audit_log")
