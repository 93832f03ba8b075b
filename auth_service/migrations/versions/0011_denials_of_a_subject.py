"""An index of the denials by whose they are: an act that is done again publishes all of them.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index_concurrently("ix_denials_subject", "denials", [sa.text("split_part(key, '}', 1)")])


def downgrade() -> None:
    op.drop_index("ix_denials_subject", table_name="denials")
