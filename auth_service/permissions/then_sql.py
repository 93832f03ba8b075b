"""SQL for grants and accounts as they were: common table expressions for other queries to begin with, and their words.

The first row of the trail after a moment says, as its `before`, what was there at that moment. All that is given to the
functions are placeholders: `row` of the number of the last row that counts, `at` of the moment, `roles` of names.
"""

from auth_service.audit.trail import Action


def _any_of(*actions: Action) -> str:
    """In words of ours, since a partial index is found by them."""
    return "action IN ({})".format(", ".join(f"'{action}'" for action in actions))


GRANTED = _any_of(Action.ROLE_GRANTED, Action.ROLE_REVOKED)
SWITCHED = _any_of(Action.USER_DISABLED, Action.USER_ENABLED)
RULED = _any_of(
    *(Action.ROLE_CREATED, Action.ROLE_UPDATED, Action.ROLE_DELETED),
    *(Action.PERMISSION_CREATED, Action.PERMISSION_UPDATED, Action.PERMISSION_DELETED),
)
ROLE = "(coalesce(after, before) ->> 'role')"  # as the index has it: a revocation has no `after`
BEGINS, ENDS = "(before ->> 'valid_from')::timestamptz", "(before ->> 'valid_until')::timestamptz"
# Of a row of `users`, beside `switched`.
ACTIVE = """
CASE WHEN is_active THEN id NOT IN (SELECT user_id FROM switched WHERE NOT was_active)
    ELSE id IN (SELECT user_id FROM switched WHERE was_active) END
"""


def switched_since(row: str, *, of: str | None = None) -> str:
    """`switched (user_id, was_active)`: accounts that were disabled or enabled since; `of`: of this id, as text."""
    which = "true" if of is None else f"a.target_id = {of}"
    return f"""
switched AS MATERIALIZED (
    SELECT DISTINCT ON (a.target_id) a.target_id::uuid AS user_id, coalesce(
        (a.before ->> 'is_active')::boolean,
        (SELECT p.action = 'user.enabled' FROM audit_log p
            WHERE p.target_id = a.target_id AND p.id < a.id AND p.{SWITCHED} ORDER BY p.id DESC LIMIT 1),
        a.action = 'user.disabled'
    ) AS was_active
    FROM audit_log a WHERE a.{SWITCHED} AND a.id > {row} AND {which} ORDER BY a.target_id, a.id
)
"""  # noqa: S608


def grants_at(row: str, at: str, roles: str, *, users: str | None = None) -> str:
    """`granted (user_id, role_name, valid_from, valid_until)`: all grants of the roles, also those of accounts that are
    gone, as far as the trail has them. `users`: of ids; only theirs.
    """
    theirs, mine = (
        ("true", "true") if users is None else (f"target_id = ANY({users}::text[])", f"user_id = ANY({users})")
    )
    return f"""
changed AS MATERIALIZED (
    SELECT DISTINCT ON (role, target_id) role, target_id::uuid AS user_id, before FROM (
        SELECT {ROLE} AS role, target_id, before, id FROM audit_log
        WHERE {GRANTED} AND {ROLE} = ANY({roles}) AND id > {row} AND {theirs}
    ) c ORDER BY role, target_id, id
), granted AS (
    SELECT user_id, role_name, valid_from, valid_until FROM user_roles g
    WHERE role_name = ANY({roles}) AND granted_at <= {at} AND {mine}
        AND NOT EXISTS (SELECT FROM changed c WHERE c.user_id = g.user_id AND c.role = g.role_name)
    UNION ALL
    SELECT user_id, role, {BEGINS}, {ENDS} FROM changed c
    WHERE before IS NOT NULL AND CASE WHEN {BEGINS} <= {at} THEN true ELSE EXISTS (
        SELECT FROM audit_log a
        WHERE a.{GRANTED} AND (coalesce(a.after, a.before) ->> 'role') = c.role AND a.target_id = c.user_id::text
            AND a.id <= {row}
    ) END
)
"""  # noqa: S608
