"""Who had a permission at a moment that has passed, page by page: as `holders`, of grants as they were."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from auth_service.permissions.decision import Grant
from auth_service.permissions.holders import FEW, Holder
from auth_service.permissions.repository import Fetches
from auth_service.permissions.rules import Rules
from auth_service.permissions.then import Then
from auth_service.permissions.then_sql import ACTIVE, BEGINS, ENDS, GRANTED, ROLE, grants_at, switched_since

_ACTIVE = f"(SELECT {ACTIVE} FROM users WHERE id = {{user}} AND created_at <= $2)"  # noqa: S608
# Not NOT EXISTS, of which a join of all rows can be made: it is asked of the few on the page.
_CHANGED = (
    f"(SELECT id FROM audit_log WHERE target_id = {{user}} AND {{since}} AND {GRANTED}"  # noqa: S608
    f" AND {ROLE} = giving.name LIMIT 1)"
)
# Of each role its first users, along an index: those whose grant is as it was, and those of whom the first row since
# then says what it was. Text of ids is in the order of the ids.
_USERS_OF_FEW_ROLES = f"""
WITH {switched_since("$1")}
SELECT DISTINCT found.user_id AS id FROM unnest($3::text[]) AS giving (name) CROSS JOIN LATERAL (
    (SELECT g.user_id FROM user_roles g
    WHERE g.role_name = giving.name AND g.user_id > $4 AND g.granted_at <= $2
        AND g.valid_from <= $2 AND (g.valid_until IS NULL OR g.valid_until > $2)
        AND {_CHANGED.format(user="g.user_id::text", since="id > $1")} IS NULL
        AND {_ACTIVE.format(user="g.user_id")}
    ORDER BY g.user_id LIMIT $5)
    UNION ALL
    (SELECT c.target_id::uuid FROM audit_log c
    WHERE {GRANTED} AND before IS NOT NULL AND {ROLE} = giving.name AND target_id > $4::uuid::text
        AND id > $1 AND {BEGINS} <= $2 AND ({ENDS} IS NULL OR {ENDS} > $2)
        AND {_CHANGED.format(user="c.target_id", since="id > $1 AND id < c.id")} IS NULL
        AND {_ACTIVE.format(user="c.target_id::uuid")}
    ORDER BY c.target_id LIMIT $5)
) AS found
ORDER BY id LIMIT $5
"""  # noqa: S608
_HAD = f"""
WITH {switched_since("$1")}, {grants_at("$1", "$2", "$3::text[]")}, had AS (
    SELECT DISTINCT g.user_id AS id FROM granted g JOIN users ON id = g.user_id
    WHERE g.valid_from <= $2 AND (g.valid_until IS NULL OR g.valid_until > $2) AND created_at <= $2 AND {ACTIVE}
)
"""  # noqa: S608
_USERS_OF_MANY_ROLES = f"{_HAD} SELECT id FROM had WHERE id > $4 ORDER BY id LIMIT $5"  # noqa: S608
_COUNT = f"{_HAD} SELECT count(*) FROM had"  # noqa: S608
_GRANTS = f"""
WITH {grants_at("$1", "$2", "$3::text[]", users="$4::uuid[]")}
SELECT user_id, role_name, valid_from, valid_until FROM granted
WHERE valid_from <= $2 AND (valid_until IS NULL OR valid_until > $2)
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class AsTheyWere:
    """The question at one moment; `giving`: of each role that gave the code, (via, pattern) of each way it did."""

    then: Then
    giving: Mapping[str, Sequence[tuple[str, str]]]

    async def page(self, source: Fetches, after: UUID | None, limit: int) -> tuple[Sequence[Holder], UUID | None]:
        """By id, with the id to go on behind; None at the end. Of accounts that are gone since nothing is known."""
        query = _USERS_OF_FEW_ROLES if len(self.giving) <= FEW else _USERS_OF_MANY_ROLES
        # Behind the first id that can be, since an index does not serve "or is null" where a plan is kept.
        behind = after or UUID(int=0)
        rows = await source.fetch(query, self.then.row, self.then.at, list(self.giving), behind, limit + 1)
        found = [UUID(int=row["id"].int) for row in rows]
        shown = found[:limit]
        ways = await self._ways(source, shown)
        holders = [
            Holder(user_id, sorted(ways[user_id], key=lambda way: (way.role, way.via, way.pattern)))
            for user_id in shown
        ]
        return holders, shown[-1] if len(found) > limit else None

    async def count(self, source: Fetches) -> int:
        rows = await source.fetch(_COUNT, self.then.row, self.then.at, list(self.giving))
        return int(rows[0]["count"])

    async def _ways(self, source: Fetches, users: Collection[UUID]) -> Mapping[UUID, list[Grant]]:
        ways: dict[UUID, list[Grant]] = defaultdict(list)
        for row in await source.fetch(_GRANTS, self.then.row, self.then.at, list(self.giving), list(users)):
            granted = row["role_name"]
            ways[UUID(int=row["user_id"].int)] += [
                Grant(pattern, granted, via, row["valid_from"], row["valid_until"])
                for via, pattern in self.giving[granted]
            ]
        return ways


def as_they_were(then: Then, rules: Rules, code: str, role: str | None) -> AsTheyWere:
    """`role`: only what grants of it gave."""
    giving = {name: rules.given_by(name, code) for name in rules.roles if role in {None, name}}
    return AsTheyWere(then, {name: ways for name, ways in giving.items() if ways})
