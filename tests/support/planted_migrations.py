"""Migrations that tests make, after the newest of the project's."""

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.conftest import ROOT

VERSIONS = ROOT / "auth_service" / "migrations" / "versions"
NEWEST = str(ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini"))).get_current_head())

_FILE = '''"""A planted one.
{doc}
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "{revision}"
down_revision = "{after}"


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


def plant(
    folder: Path, upgrade: str, downgrade: str = "op.execute('SELECT 1')", *, doc: str = "", revision: str = "planted"
) -> Config:
    """What alembic needs to run the project's migrations and this one; for the lint, `folder` has it."""
    text = _FILE.format(doc=doc, revision=revision, after=NEWEST, upgrade=upgrade, downgrade=downgrade)
    (folder / f"{revision}.py").write_text(text, encoding="utf-8")
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("version_locations", f"{VERSIONS}:{folder}")
    return config
