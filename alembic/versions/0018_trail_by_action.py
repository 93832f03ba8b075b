"""The audit trail is asked for the few rows that changed roles, permissions, or who is active.

Revision: 0018, after 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index_concurrently(op.f("ix_audit_log_action_id"), "audit_log", ["action", "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_audit_log_action_id"), "audit_log")
