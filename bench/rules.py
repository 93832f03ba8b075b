"""The roles of the cinema, read once from the service's own database: all sides decide by them."""

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg

# Of each kind: had directly, through a parent, by a wildcard, by `*`, and not had.
CODES = ("films:read", "films:watch", "films:delete", "playback:uhd", "reviews:delete", "tickets:buy", "users:write")


@dataclass(frozen=True)
class Rules:
    """`roles`: their parents and own patterns; `users`: the role of each demo account by its id; `codes` to ask for."""

    parents: dict[str, list[str]]
    patterns: dict[str, list[str]]
    users: dict[str, str]
    codes: list[str]

    def ancestors(self, role: str) -> set[str]:
        """The role and all that it inherits from."""
        found = {role}
        for parent in self.parents.get(role, []):
            found |= self.ancestors(parent)
        return found

    def holders(self, pattern: str) -> list[str]:
        """The roles that have the pattern, inherited or their own."""
        return sorted(
            role for role in self.patterns if any(pattern in self.patterns[one] for one in self.ancestors(role))
        )

    def user_with(self, role: str) -> str:
        return next(user for user, its in self.users.items() if its == role)

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def read_rules(path: Path) -> Rules:
    return Rules(**json.loads(path.read_text(encoding="utf-8")))


def rules_of(database_url: str) -> Rules:
    return asyncio.run(_rules_of(database_url))


async def _rules_of(database_url: str) -> Rules:
    connection = await asyncpg.connect(database_url)
    try:
        names = [row["name"] for row in await connection.fetch("SELECT name FROM roles ORDER BY name")]
        parents: dict[str, list[str]] = {name: [] for name in names}
        for row in await connection.fetch("SELECT role_name, parent_name FROM role_parents"):
            parents[row["role_name"]].append(row["parent_name"])
        patterns: dict[str, list[str]] = {name: [] for name in names}
        for row in await connection.fetch("SELECT role_name, pattern FROM role_permissions"):
            patterns[row["role_name"]].append(row["pattern"])
        # Each demo account was given one role beside the one that everybody gets; the last one says who it is.
        granted = await connection.fetch(
            "SELECT DISTINCT ON (user_id) user_id, role_name FROM user_roles"
            " ORDER BY user_id, granted_at DESC, role_name = 'viewer'"
        )
        users = {str(row["user_id"]): row["role_name"] for row in granted}
        return Rules(parents, patterns, users, list(CODES))
    finally:
        await connection.close()
