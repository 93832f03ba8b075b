"""The permission to follow the stream of changes.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CODE = "changes:read"


def upgrade() -> None:
    added = sa.text("INSERT INTO permissions (code, title) VALUES (:code, :title) ON CONFLICT DO NOTHING")
    op.execute(added.bindparams(code=CODE, title="Follow what changes answers of the check"))
    op.execute(
        sa.text(
            "INSERT INTO role_permissions (role_name, pattern) SELECT name, :code FROM roles WHERE name = 'admin'"
            " ON CONFLICT DO NOTHING"
        ).bindparams(code=CODE)
    )


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM role_permissions WHERE pattern = :code").bindparams(code=CODE))
    op.execute(sa.text("DELETE FROM permissions WHERE code = :code").bindparams(code=CODE))
