"""Whether Postgres is there, is the right one, and lets the service do its work."""

from datetime import timedelta

import asyncpg

from auth_service.core.connections import Resources
from auth_service.core.stores.trouble import of_postgres
from auth_service.doctor.finding import Finding, Severity
from auth_service.models import Base

OLDEST_VERSION = 15
SETTING, DIRECT = "DATABASE_URL", "DATABASE_DIRECT_URL"
EXTRA_CONNECTIONS = 3  # of each process: those of the changes, the relay and the partitions
CHANNEL = "auth_doctor"  # not the workers' own, who would hear it

_RIGHTS = """
SELECT name, array_agg(privilege ORDER BY privilege) AS missing
FROM unnest($1::text[]) AS name
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
WHERE to_regclass(name) IS NOT NULL
    AND NOT (name = 'audit_log' AND privilege IN ('UPDATE', 'DELETE'))
    AND NOT (name = 'alembic_version' AND privilege <> 'SELECT')
    AND NOT has_table_privilege(to_regclass(name), privilege)
GROUP BY name ORDER BY name
"""
_ROOM = """
SELECT current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0) AS server,
    (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role,
    (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database
"""


async def postgres(resources: Resources) -> list[Finding]:
    """Whether it lets us in."""
    try:
        await resources.hot.fetchval("SELECT 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        trouble = of_postgres(error)
        problem = f"{resources.settings.postgres_address} {trouble.problem}"
        return [Finding("postgres", SETTING, problem, trouble.fix)]
    return []


async def postgres_version(resources: Resources) -> list[Finding]:
    number = int(await resources.hot.fetchval("SELECT current_setting('server_version_num')"))
    if number // 10_000 >= OLDEST_VERSION:
        return []
    problem = f"is PostgreSQL {number // 10_000}; {OLDEST_VERSION} is the oldest that is supported"
    return [
        Finding("postgres_version", SETTING, problem, f"upgrade the server to PostgreSQL {OLDEST_VERSION} or newer")
    ]


async def postgres_writable(resources: Resources) -> list[Finding]:
    (row,) = await resources.hot.fetch(
        "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only"
    )
    if row["standby"]:
        fix = "name the primary; with several hosts let the driver look for one that can be written"
        return [Finding("postgres_writable", SETTING, "is a standby, which takes no writes", fix)]
    if row["read_only"]:
        fix = "ALTER ROLE or ALTER DATABASE … RESET default_transaction_read_only"
        return [Finding("postgres_writable", SETTING, "is read-only for this user or database", fix)]
    return []


async def postgres_rights(resources: Resources) -> list[Finding]:
    """Rights on every table, ownership of the history; and in production not those of a superuser."""
    tables = [*Base.metadata.tables, "alembic_version"]
    missing = await resources.hot.fetch(_RIGHTS, tables)
    findings = []
    if missing:
        words = "; ".join(f"{', '.join(row['missing'])} on {row['name']}" for row in missing[:3])
        more = f" and {len(missing) - 3} more tables" if len(missing) > 3 else ""
        fix = "GRANT them to the user of DATABASE_URL, or migrate as that user, who then owns the tables"
        findings.append(Finding("postgres_rights", SETTING, f"its user lacks {words}{more}", fix))
    (row,) = await resources.hot.fetch(
        "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,"
        " (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('login_history')) AS owner"
    )
    if row["owner"] is False:
        problem = "its user does not own login_history, so the workers cannot make its coming months"
        fix = "ALTER TABLE login_history OWNER TO that user; or run `auth-service partitions ensure` daily as the owner"
        findings.append(Finding("postgres_rights", SETTING, problem, fix, Severity.WARNING))
    if row["superuser"] and resources.settings.production:
        problem = "its user is a superuser: it can switch the audit trail's trigger off and read the server's files"
        fix = "make a user that only owns this database: CREATE ROLE … LOGIN; ALTER DATABASE … OWNER TO …"
        findings.append(Finding("postgres_rights", SETTING, problem, fix, Severity.WARNING))
    return findings


async def postgres_connections(resources: Resources, *, replicas: int) -> list[Finding]:
    """Whether there is room for the pools of all workers of all replicas when all are full."""
    settings = resources.settings
    each = 2 * settings.database_pool_size + EXTRA_CONNECTIONS
    needed = replicas * settings.workers * each
    (row,) = await resources.hot.fetch(_ROOM)
    limits = {
        "max_connections": row["server"],
        "the user's CONNECTION LIMIT": row["role"],
        "the database's CONNECTION LIMIT": row["database"],
    }
    tight = {name: limit for name, limit in limits.items() if 0 <= limit < needed}
    return [
        Finding(
            "postgres_connections",
            "DATABASE_POOL_SIZE",
            f"{needed} connections may be wanted ({replicas} replicas × {settings.workers} workers × {each}),"
            f" {name} leaves {limit}",
            f"raise {name}, or lower DATABASE_POOL_SIZE or WORKERS",
        )
        for name, limit in tight.items()
    ]


async def postgres_changes(resources: Resources) -> list[Finding]:
    """Whether notifications come through, by which the workers hear of changes."""
    heard: list[object] = []
    connection = await resources.direct.connect(timeout=resources.settings.database_timeout_seconds)
    try:
        await connection.add_listener(CHANNEL, lambda *told: heard.append(told))
        await connection.execute(f"NOTIFY {CHANNEL}")
        await connection.execute("SELECT 1")  # a notification of one's own comes with the answer before
    finally:
        connection.terminate()
    if heard or resources.settings.check_cache_bytes == 0:
        return []
    problem = "does not pass on notifications, so no check is answered from memory, and each change waits for a second"
    fix = "set DATABASE_DIRECT_URL to the server's own address, not a pooler's; or CHECK_CACHE_BYTES=0 everywhere"
    setting = DIRECT if resources.settings.pooled else SETTING
    return [Finding("postgres_changes", setting, problem, fix, Severity.WARNING)]


async def postgres_clock(resources: Resources) -> list[Finding]:
    before = resources.clock()
    theirs = await resources.hot.fetchval("SELECT clock_timestamp()")
    return clock_findings(resources, "postgres_clock", SETTING, theirs - before)


def clock_findings(resources: Resources, check: str, setting: str, ahead: timedelta) -> list[Finding]:
    """`ahead` of ours; what the way there takes is in it, and far below the limit."""
    allowed = max(1, resources.settings.clock_leeway_seconds)
    seconds = round(ahead.total_seconds())
    if abs(seconds) <= allowed:
        return []
    problem = f"its clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    fix = f"keep both by NTP (chrony, systemd-timesyncd); CLOCK_LEEWAY_SECONDS allows {allowed} s"
    return [Finding(check, setting, problem, fix)]


async def postgres_tls(resources: Resources) -> list[Finding]:
    """In production, to another machine (SEC-1)."""
    if not resources.settings.production:
        return []
    (row,) = await resources.hot.fetch(
        "SELECT ssl, coalesce(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true) AS here"
        " FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    )
    if row["ssl"] or row["here"]:
        return []
    problem = "is not encrypted: whoever listens on the way reads what is kept there"
    fix = "add ?sslmode=verify-full to it (and sslrootcert=… for an authority of your own), and TLS to the server"
    return [Finding("postgres_tls", SETTING, problem, fix, Severity.WARNING)]
