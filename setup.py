"""What pyproject.toml cannot say: a wheel has the migrations too, so that whoever installs it can make the schema."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithMigrations(build_py):
    """`alembic/` of the repository is `auth_service/migrations/` of a wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "auth_service" / "migrations"
            shutil.copytree("alembic", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": WithMigrations})
