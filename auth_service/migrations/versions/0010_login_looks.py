"""What each login looks like, so that none gets a look-alike.

`auth-service migrate` fills it afterwards, since Postgres cannot tell what looks alike.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_looks",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("look", sa.Text(), nullable=True),
        sa.Column("claimed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_login_looks_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_login_looks")),
    )
    op.create_index(op.f("ix_login_looks_look"), "login_looks", ["look"], unique=False)
    op.create_index("uq_login_looks_claimed", "login_looks", ["look"], unique=True, postgresql_where=sa.text("claimed"))
    # The code of the version before knows nothing of the table: what it writes is marked as still without a look.
    op.execute(
        "CREATE FUNCTION forget_login_look() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO login_looks (user_id) VALUES (NEW.id)"
        " ON CONFLICT (user_id) DO UPDATE SET look = NULL; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER forget_login_look AFTER INSERT OR UPDATE OF login ON users"
        " FOR EACH ROW EXECUTE FUNCTION forget_login_look()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER forget_login_look ON users")
    op.execute("DROP FUNCTION forget_login_look()")
    op.drop_table("login_looks")
