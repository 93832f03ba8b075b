"""With a pooler in front of Postgres: whether the direct address is the same database's, and whether limits hold."""

from contextlib import AsyncExitStack

import asyncpg

from auth_service.core.connections import Resources
from auth_service.core.stores.trouble import of_postgres
from auth_service.doctor.finding import Finding, Severity
from auth_service.doctor.postgres import DIRECT, SETTING

_WHICH_DATABASE = (
    "SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())"
    " FROM pg_control_system()"
)
_WHO = "SELECT pg_backend_pid()"
_LIMITS = """
SELECT name FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout') AND setting = '0' ORDER BY name
"""


async def postgres_direct(resources: Resources) -> list[Finding]:
    """Whether DATABASE_DIRECT_URL lets us in, to the database that DATABASE_URL leads to, and gives us sessions."""
    if not resources.settings.pooled:
        return []
    timeout = resources.settings.database_timeout_seconds
    try:
        async with AsyncExitStack() as stack:
            one = await resources.direct.connect(timeout=timeout)
            stack.callback(one.terminate)
            other = await resources.direct.connect(timeout=timeout)
            stack.callback(other.terminate)
            direct = await one.fetchrow(_WHICH_DATABASE, timeout=timeout)
            # Of one process of the server, while both are open: it goes from hand to hand.
            shared = await one.fetchval(_WHO, timeout=timeout) == await other.fetchval(_WHO, timeout=timeout)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        trouble = of_postgres(error)
        problem = f"{resources.settings.direct_address} {trouble.problem}"
        return [Finding("postgres_direct", DIRECT, problem, trouble.fix)]
    if shared:
        problem = "leads to a pooler in transaction mode: what one worker locks, any other would hold"
        return [Finding("postgres_direct", DIRECT, problem, "write the address of the server behind the pooler")]
    if direct == await resources.hot.fetchrow(_WHICH_DATABASE):
        return []
    problem = f"leads to another database than {SETTING}: changes would be told where nobody listens"
    return [Finding("postgres_direct", DIRECT, problem, "write the address of the server behind the pooler")]


async def postgres_limits(resources: Resources) -> list[Finding]:
    """A pooler hands on no limits of ours, so the role has to have them."""
    if not resources.settings.pooled:
        return []
    missing = [row["name"] for row in await resources.hot.fetch(_LIMITS)]
    if not missing:
        return []
    seconds = resources.settings.database_timeout_seconds
    values = {"statement_timeout": seconds, "idle_in_transaction_session_timeout": 2.5 * seconds}
    fix = "; ".join(f"ALTER ROLE … SET {name} = '{round(values[name] * 1000)}ms'" for name in missing)
    problem = f"its user has no {' and no '.join(missing)}, and the pooler hands on none of ours"
    return [Finding("postgres_limits", SETTING, problem, fix, Severity.WARNING)]
