"""Whether the schema is the one that this code was written for, and what has to stand in it."""

from collections.abc import Sequence

from sqlalchemy import exists, func, select

from auth_service.core.connections import Resources
from auth_service.doctor.finding import Finding, Severity
from auth_service.models import Role, Totp, User, UserRole
from auth_service.seed import DEMO_USERS
from auth_service.sessions.partition_state import history_state
from auth_service.users.repository import SUPERUSER


async def schema(resources: Resources, *, revisions: Sequence[str]) -> list[Finding]:
    """`revisions`: all that this code knows, the newest last."""
    fix = "run `auth-service migrate` with the code that will serve"
    present = await resources.hot.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    found = await resources.hot.fetchval("SELECT version_num FROM alembic_version") if present else None
    if found is None:
        return [Finding("schema", "DATABASE_URL", "the database has no schema of ours yet", fix)]
    if found not in revisions:
        problem = f"the schema is at {found}, which this code does not know: it is newer"
        return [Finding("schema", "DATABASE_URL", problem, "deploy the version that migrated it, or a newer one")]
    if found != revisions[-1]:
        problem = f"the schema is at {found}, older than the {revisions[-1]} of this code"
        return [Finding("schema", "DATABASE_URL", problem, fix)]
    return []


async def login_history(resources: Resources) -> list[Finding]:
    """What readiness calls degraded (REL-1)."""
    state = await history_state(resources)
    if state == "ok":
        return []
    problem, _, remedy = state.rpartition(": ")
    fix = f"{remedy}, as the owner of login_history"
    return [Finding("login_history", "HISTORY_MONTHS_AHEAD", problem, fix)]


async def default_role(resources: Resources) -> list[Finding]:
    name = resources.settings.default_role
    async with resources.db() as session:
        if await session.scalar(select(exists().where(Role.name == name))):
            return []
    problem = f"there is no role {name}: nobody can register, and readiness is 503"
    return [Finding("default_role", "DEFAULT_ROLE", problem, "name a role that `auth-service roles list` shows")]


async def superusers(resources: Resources) -> list[Finding]:
    """Somebody must be able to administer, and where ADMIN_MFA holds, with a second factor (MFA-7)."""
    now = resources.clock()
    has_factor = exists().where(Totp.user_id == User.id, Totp.confirmed_at.is_not(None))
    grants = (
        select(func.count(), func.count().filter(~has_factor))
        .select_from(User)
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.role_name == SUPERUSER, User.is_active, UserRole.valid_from <= now)
        .where(UserRole.valid_until.is_(None) | (UserRole.valid_until > now))
    )
    async with resources.db() as session:
        count, bare = (await session.execute(grants)).one()
    if not count:
        fix = "auth-service users create EMAIL --superuser"
        return [Finding("superusers", "accounts", "there is no active superuser: nobody can administer", fix)]
    if bare and resources.settings.admin_mfa_required:
        problem = f"{bare} of {count} superusers have no second factor: who learns the password can set up theirs"
        fix = "let them log in and set up an authenticator: `auth-service users list --role superuser --no-mfa`"
        return [Finding("superusers", "ADMIN_MFA", problem, fix)]
    return []


async def demo_accounts(resources: Resources) -> list[Finding]:
    """In production: their passwords are public."""
    if not resources.settings.production:
        return []
    keys = [(demo.login, demo.email) for demo in DEMO_USERS]
    async with resources.db() as session:
        found = await session.scalars(
            select(User.login).where(User.login_key.in_([login for login, _ in keys]), User.is_active)
            .where(User.email_key.in_([email for _, email in keys]))
        )  # fmt: skip
        logins = sorted(found)
    if not logins:
        return []
    problem = f"demo accounts with public passwords exist: {', '.join(logins)}"
    fix = "auth-service users delete LOGIN --yes, for each of them"
    return [Finding("demo_accounts", "APP_ENV", problem, fix)]


async def signing_keys(resources: Resources) -> list[Finding]:
    """One key at least must sign, and every live one must open with this SECRET_KEY."""
    live = {row["state"] for row in await resources.keys.overview()}
    if "signing" not in live:
        problem = "there is no key that signs tokens yet"
        fix = "start the service: its first worker makes one"
        return [Finding("signing_keys", "accounts", problem, fix, Severity.WARNING)]
    closed = await resources.keys.unopenable()
    if not closed:
        return []
    problem = f"does not open what is stored: {len(closed)} signing keys were sealed with another one"
    fix = "set the key of before as SECRET_KEY, or as SECRET_KEY_PREVIOUS beside the new one"
    return [Finding("signing_keys", "SECRET_KEY", problem, fix)]
