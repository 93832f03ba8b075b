"""All checks in their order: a check whose ground is missing is named as not checked, and nothing is guessed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from auth_service.config import ConfigError, load_settings
from auth_service.core.clock import Clock, utc_now
from auth_service.core.connections import Resources, open_resources
from auth_service.core.errors import is_store_failure
from auth_service.doctor import machine, neighbours, pooler, postgres, redis, schema, settings
from auth_service.doctor.finding import Finding, Severity

# Longer than a request waits, so that a slow store is told from one that is away.
TIMES = {"database_timeout_seconds": 10.0, "redis_timeout_ms": 5000}


@dataclass(frozen=True, slots=True)
class Check:
    """`needs`: checks that must have found no problem."""

    name: str
    run: Callable[[Resources], Awaitable[list[Finding]]]
    needs: tuple[str, ...] = ()


@dataclass
class Diagnosis:
    """`not_checked`: the reason, by check."""

    checked: list[str]
    findings: list[Finding]
    not_checked: dict[str, str]

    @property
    def well(self) -> bool:
        """Warnings are no problem, what is not known is one."""
        return not self.not_checked and not any(f.severity is Severity.PROBLEM for f in self.findings)


async def diagnose(*, revisions: Sequence[str], replicas: int = 1, clock: Clock = utc_now) -> Diagnosis:
    """Of the settings of this process; changes nothing. `revisions`: of the schema, the newest last."""
    checks = _checks(revisions, replicas)
    alone = [*settings.secret_files(), *settings.secrets_in_environment()]
    diagnosis = Diagnosis(["settings", "secret_files", "secrets_in_environment"], alone, {})
    try:
        loaded = load_settings()
    except ConfigError as error:
        diagnosis.findings += settings.settings_refused(error)
        diagnosis.not_checked = {check.name: "the settings have to be mended first" for check in checks}
        return diagnosis
    async with open_resources(loaded.model_copy(update=TIMES), clock) as resources:
        for check in checks:
            await _carry_out(check, resources, diagnosis)
    return diagnosis


async def _carry_out(check: Check, resources: Resources, diagnosis: Diagnosis) -> None:
    failed = {f.check for f in diagnosis.findings if f.severity is Severity.PROBLEM} | diagnosis.not_checked.keys()
    missing = [need for need in check.needs if need in failed]
    if missing:
        root = f"{missing[0]} has to be mended first"
        diagnosis.not_checked[check.name] = diagnosis.not_checked.get(missing[0], root)
        return
    try:
        diagnosis.findings += await check.run(resources)
        diagnosis.checked.append(check.name)
    except Exception as error:
        if not is_store_failure(error):
            raise
        diagnosis.not_checked[check.name] = f"the store failed meanwhile ({type(error).__name__})"


def _checks(revisions: Sequence[str], replicas: int) -> list[Check]:
    server, tables = ("postgres",), ("schema",)
    return [
        Check("issuer", settings.issuer),
        Check("proxies", settings.proxies),
        Check("mail_settings", settings.mail_settings),
        Check("account_url", settings.account_url),
        Check("redis_tls", settings.redis_tls),
        Check("log_file", machine.log_file),
        Check("port", machine.port),
        Check("file_descriptors", machine.file_descriptors),
        Check("postgres", postgres.postgres),
        Check("postgres_direct", pooler.postgres_direct, server),
        Check("postgres_limits", pooler.postgres_limits, server),
        Check("postgres_version", postgres.postgres_version, server),
        Check("postgres_writable", postgres.postgres_writable, server),
        Check("postgres_tls", postgres.postgres_tls, server),
        Check("postgres_clock", postgres.postgres_clock, server),
        Check("postgres_changes", postgres.postgres_changes, ("postgres_direct",)),
        Check("postgres_connections", partial(postgres.postgres_connections, replicas=replicas), server),
        Check("postgres_rights", postgres.postgres_rights, server),
        Check("schema", partial(schema.schema, revisions=revisions), ("postgres_rights",)),
        Check("login_history", schema.login_history, tables),
        Check("default_role", schema.default_role, tables),
        Check("superusers", schema.superusers, tables),
        Check("demo_accounts", schema.demo_accounts, tables),
        Check("signing_keys", schema.signing_keys, tables),
        Check("redis", redis.redis),
        Check("redis_version", redis.redis_version, ("redis",)),
        Check("redis_writable", redis.redis_writable, ("redis",)),
        Check("redis_eviction", redis.redis_eviction, ("redis",)),
        Check("redis_memory", redis.redis_memory, ("redis",)),
        Check("redis_persistence", redis.redis_persistence, ("redis",)),
        Check("redis_clock", redis.redis_clock, ("redis",)),
        Check("smtp", neighbours.smtp),
        Check("kafka", neighbours.kafka),
    ]
