"""The viewer's account: devices, mails, e-mail changes, second factors of sessions, limits by role.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("ip", postgresql.INET(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("trusted_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_devices_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_last_seen_at"), "devices", ["last_seen_at"], unique=False)
    op.create_index(op.f("ix_devices_user_id"), "devices", ["user_id"], unique=False)
    op.create_table(
        "email_changes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("old_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("new_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_email_changes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_email_changes")),
    )
    op.create_table(
        "mailed_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mailed_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailed_tokens")),
    )
    op.create_index(op.f("ix_mailed_tokens_expires_at"), "mailed_tokens", ["expires_at"], unique=False)
    op.create_index(op.f("ix_mailed_tokens_user_id"), "mailed_tokens", ["user_id"], unique=False)
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("send_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mails_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
    )
    op.create_index("ix_mails_due", "mails", ["send_at"], unique=False, postgresql_where=sa.text("sent_at IS NULL"))
    op.create_index(op.f("ix_mails_user_id"), "mails", ["user_id"], unique=False)
    op.add_column("login_attempts", sa.Column("unbroken", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("login_challenges", sa.Column("device_id", sa.Uuid(), nullable=True))
    op.create_index(op.f("ix_login_challenges_device_id"), "login_challenges", ["device_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_login_challenges_device_id"), "login_challenges", "devices", ["device_id"], ["id"], ondelete="CASCADE"
    )
    op.add_column("login_history", sa.Column("device_id", sa.Uuid(), nullable=True))
    op.drop_constraint(op.f("fk_login_history_user_id"), "login_history", type_="foreignkey")
    op.add_column("permissions", sa.Column("step_up", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("roles", sa.Column("session_limit", sa.BigInteger(), nullable=True))
    op.create_check_constraint(op.f("ck_roles_session_limit"), "roles", "session_limit BETWEEN 1 AND 1000")
    op.add_column("sessions", sa.Column("device_id", sa.Uuid(), nullable=True))
    # Sessions of before count as authenticated long ago. Their real time is created_at, but an UPDATE of all rows under
    # this lock would stop logins for seconds; a constant default touches no row.
    op.add_column(
        "sessions",
        sa.Column(
            "authenticated_at", sa.DateTime(timezone=True), server_default="1970-01-01T00:00:00Z", nullable=False
        ),
    )
    op.alter_column("sessions", "authenticated_at", server_default=sa.text("now()"))
    op.add_column("sessions", sa.Column("second_factor_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_sessions_device_id"), "sessions", ["device_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_sessions_device_id"), "sessions", "devices", ["device_id"], ["id"], ondelete="SET NULL"
    )
    op.add_column("users", sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "email_verified_at")
    op.drop_constraint(op.f("fk_sessions_device_id"), "sessions", type_="foreignkey")
    op.drop_index(op.f("ix_sessions_device_id"), table_name="sessions")
    op.drop_column("sessions", "second_factor_at")
    op.drop_column("sessions", "authenticated_at")
    op.drop_column("sessions", "device_id")
    op.drop_constraint(op.f("ck_roles_session_limit"), "roles", type_="check")
    op.drop_column("roles", "session_limit")
    op.drop_column("permissions", "step_up")
    op.execute(
        "DELETE FROM login_history h"
        " WHERE user_id IS NOT NULL AND NOT EXISTS (SELECT FROM users u WHERE u.id = h.user_id)"
    )
    op.create_foreign_key(
        op.f("fk_login_history_user_id"), "login_history", "users", ["user_id"], ["id"], ondelete="CASCADE"
    )
    op.drop_column("login_history", "device_id")
    op.drop_constraint(op.f("fk_login_challenges_device_id"), "login_challenges", type_="foreignkey")
    op.drop_index(op.f("ix_login_challenges_device_id"), table_name="login_challenges")
    op.drop_column("login_challenges", "device_id")
    op.drop_column("login_attempts", "unbroken")
    op.drop_index(op.f("ix_mails_user_id"), table_name="mails")
    op.drop_index("ix_mails_due", table_name="mails", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_table("mails")
    op.drop_index(op.f("ix_mailed_tokens_user_id"), table_name="mailed_tokens")
    op.drop_index(op.f("ix_mailed_tokens_expires_at"), table_name="mailed_tokens")
    op.drop_table("mailed_tokens")
    op.drop_table("email_changes")
    op.drop_index(op.f("ix_devices_user_id"), table_name="devices")
    op.drop_index(op.f("ix_devices_last_seen_at"), table_name="devices")
    op.drop_table("devices")
