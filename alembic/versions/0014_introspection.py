"""A permission for the services that ask whether a token is live, and for the admins who make them.

Revision: 0014, after 0013
"""

import sqlalchemy as sa

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

CODE = "tokens:introspect"


def upgrade() -> None:
    # The cinema may have made a code of that name, and may have deleted or renamed the role.
    added = sa.text("INSERT INTO permissions (code, title) VALUES (:code, :title) ON CONFLICT DO NOTHING")
    op.execute(added.bindparams(code=CODE, title="Ask whether a token is live, and whose it is"))
    op.execute(
        "INSERT INTO role_permissions (role_name, pattern) SELECT name, 'tokens:*' FROM roles WHERE name = 'admin'"
        " ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    op.execute("DELETE FROM role_permissions WHERE role_name = 'admin' AND pattern = 'tokens:*'")
    op.execute(sa.text("DELETE FROM role_permissions WHERE pattern = :code").bindparams(code=CODE))
    op.execute(sa.text("DELETE FROM permissions WHERE code = :code").bindparams(code=CODE))
