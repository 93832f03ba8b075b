"""Every setting of the service, typed and checked at start."""

import json
import os
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from auth_service.setting_values import (
    WIDEST_PRIVATE_NETWORK,
    BrandColor,
    BrandLogo,
    Brokers,
    Collector,
    Hosts,
    Issuer,
    KafkaOptions,
    ListenHost,
    LogLevel,
    Network,
    Networks,
    Origins,
    PageAddress,
    PostgresUrl,
    PrivateNetworks,
    Rate,
    RedisUrl,
    Sender,
    SmtpUrl,
    networks_of,
    origin_of,
)
from auth_service.store_urls.postgres import PostgresAddress, read_postgres_url
from auth_service.store_urls.redis import RedisAddress, read_redis_url

DEVELOPMENT_SECRET = "development-only-secret-never-use-this-in-production"  # noqa: S105
DEFAULT_DATABASE_URL = "postgresql://auth:auth@localhost:5432/auth"
DEV_ENV_FILE = Path(".dev/env")  # written by `auth-service dev`, so that the CLI finds its servers

_TOPIC = r"^[A-Za-z0-9._\-]{1,249}$"


class ConfigError(Exception):
    """One line per wrong setting; names the setting and the remedy, never the value."""


class Environment(StrEnum):
    """Where the process runs; only `production` refuses default secrets and demo data."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


# First parts of the service's own paths: below one of them, a proxy that strips it could not be told from another.
OWN_PATHS = frozenset(
    {
        ".well-known",
        "access",
        "account",
        "api",
        "auth",
        "console",
        "dev",
        "health",
        "metrics",
        "pages",
        "favicon.ico",
        "robots.txt",
    }
    | {"confirm-email", "forgot-password", "reset-password"}
)


class Settings(BaseSettings):
    """Read from the environment, then `.env`; `NAME_FILE` gives a secret from a file."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    app_env: Environment = Environment.DEVELOPMENT
    database_url: PostgresUrl = SecretStr(DEFAULT_DATABASE_URL)
    database_direct_url: PostgresUrl | None = None
    redis_url: RedisUrl = SecretStr("redis://localhost:6379/0")
    secret_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    secret_key_previous: SecretStr | None = None

    host: ListenHost = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    drain_seconds: float = Field(default=5.0, ge=0, le=60)
    log_level: LogLevel = "INFO"
    log_file: Path | None = None
    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")

    issuer: Issuer = "http://localhost:8000"
    issuer_name: str = Field(default="Cinema", min_length=1, max_length=60, pattern="^[^:]+$")
    audience: str = "cinema"
    authzen_subject_id: str = Field(default="id", pattern="^(id|login)$")
    access_token_seconds: int = Field(default=900, ge=30, le=900)
    clock_leeway_seconds: int = Field(default=30, ge=0, le=30)
    key_overlap_seconds: int = Field(default=600, ge=0, le=86_400)
    refresh_grace_seconds: int = Field(default=10, ge=0, le=60)
    session_idle_seconds: int = Field(default=7 * 86_400, ge=60, le=30 * 86_400)
    session_absolute_seconds: int = Field(default=30 * 86_400, ge=60, le=30 * 86_400)
    session_limit: int = Field(default=10, ge=1, le=1000)

    default_role: str = "viewer"
    login_failure_limit: int = Field(default=15, ge=3, le=100)
    login_lock_seconds: int = Field(default=300, ge=1, le=86_400)
    login_address_failure_limit: int = Field(default=20, ge=1, le=1_000_000)
    login_total_failure_limit: int = Field(default=100, ge=3, le=1_000_000)
    admin_mfa: bool | None = None
    hash_workers: int = Field(default=min(os.cpu_count() or 1, 8), ge=1, le=64)
    hash_queue: int = Field(default=50, ge=1, le=1000)

    allowed_hosts: Hosts = ("localhost", "127.0.0.1", "[::1]")
    trusted_proxies: Networks = ()
    metrics_clients: Networks = ("127.0.0.1", "::1")
    allowed_origins: Origins = ()
    rate_limit_login: Rate = "30/minute"
    rate_limit_register: Rate = "10/hour"
    rate_limit_refresh: Rate = "120/minute"
    rate_limit_token: Rate = "60/minute"  # noqa: S105

    database_pool_size: int = Field(default=10, ge=1, le=200)
    database_timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    redis_pool_size: int = Field(default=32, ge=1, le=500)
    redis_timeout_ms: int = Field(default=150, ge=10, le=10_000)
    pool_queue: int = Field(default=1000, ge=1, le=100_000)
    pool_wait_seconds: float = Field(default=2.0, gt=0, le=60)
    check_cache_bytes: int = Field(default=64 * 1024 * 1024, ge=0, le=16 * 1024**3)
    check_grace_seconds: float = Field(default=0, ge=0, le=300)
    log_cached_checks: bool = False
    history_months_ahead: int = Field(default=3, ge=3, le=24)
    history_months_kept: int = Field(default=24, ge=1, le=1200)

    smtp_url: SmtpUrl | None = None
    mail_from: Sender = "Cinema <no-reply@localhost>"
    account_url: PageAddress = ""
    brand_color: BrandColor = "#1f5fbf"
    brand_logo: BrandLogo | None = None

    kafka_bootstrap: Brokers | None = None
    kafka_options: KafkaOptions | None = None
    kafka_topic_new_user: str = Field(default="uploading_data", pattern=_TOPIC)
    kafka_topic_events: str = Field(default="auth.events", pattern=_TOPIC)
    relay_in_workers: bool = True
    events_kept_days: int = Field(default=7, ge=1, le=365)
    webhook_private_networks: PrivateNetworks = ()

    otel_exporter_otlp_endpoint: Collector | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        from_files = _FileVariables(settings_cls)
        return init_settings, env_settings, from_files, dotenv_settings

    @field_validator(
        *("allowed_hosts", "trusted_proxies", "metrics_clients", "allowed_origins", "webhook_private_networks"),
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _unquoted(cls, value: Any, info: ValidationInfo) -> Any:
        """`docker run --env-file`, unlike a shell, leaves quotes where they are. A key is its bytes, and keeps them."""
        if not isinstance(value, str) or info.field_name in {"secret_key", "secret_key_previous"}:
            return value
        text = value.strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            assert info.field_name is not None  # noqa: S101  a field's validator has one
            return text[1:-1].strip() or cls.model_fields[info.field_name].default
        return text

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        problems = []
        for name in ("secret_key", "secret_key_previous"):
            secret: SecretStr | None = getattr(self, name)
            if secret is not None and len(secret.get_secret_value().encode()) < 32:
                problems.append(f"{name.upper()} must have at least 32 bytes: openssl rand -base64 48")
        if self.session_idle_seconds > self.session_absolute_seconds:
            problems.append("SESSION_IDLE_SECONDS must not exceed SESSION_ABSOLUTE_SECONDS")
        problems += self._pooler_problems()
        if self.path_prefix[1:].partition("/")[0] in OWN_PATHS:
            problems.append("ISSUER must not have a path that the service has itself, such as /auth: take another one")
        if self.production:
            problems += self._production_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _pooler_problems(self) -> list[str]:
        if not self.pooled:
            if self.postgres_address.says_pooler:
                return [
                    "DATABASE_DIRECT_URL must be the server's own address, since DATABASE_URL says that a pooler is in"
                    " front: locks and news of changes need a session of their own"
                ]
            return []
        if len(self.postgres_address.hosts) > 1:
            return ["DATABASE_URL must name one pooler where DATABASE_DIRECT_URL is set; that one may list hosts"]
        return []

    def _production_problems(self) -> list[str]:
        problems = []
        if self.secret_key.get_secret_value() == DEVELOPMENT_SECRET:
            problems.append("SECRET_KEY is the development default; set your own: openssl rand -base64 48")
        previous = self.secret_key_previous
        if previous is not None and previous.get_secret_value() == DEVELOPMENT_SECRET:
            problems.append("SECRET_KEY_PREVIOUS is the development default: whoever knows it could make tokens")
        if self.asyncpg_dsn == DEFAULT_DATABASE_URL:
            problems.append("DATABASE_URL is the development default; set your own")
        if any(network.prefixlen < WIDEST_PRIVATE_NETWORK for network in self.proxy_networks):
            problems.append(
                "TRUSTED_PROXIES must list the proxies; * or a huge network lets clients choose their address"
            )
        if "*" in self.allowed_hosts:
            problems.append("ALLOWED_HOSTS must list the host names; * accepts forged Host headers")
        if not self.issuer.startswith("https://"):
            problems.append("ISSUER must be the public https:// address")
        if not all(origin.startswith("https://") for origin in self.allowed_origins):
            problems.append("ALLOWED_ORIGINS must be https:// pages; others can be changed on their way")
        if self.log_level == "DEBUG":
            problems.append("LOG_LEVEL must not be DEBUG")
        return problems

    @property
    def production(self) -> bool:
        return self.app_env is Environment.PRODUCTION

    @property
    def admin_mfa_required(self) -> bool:
        """ADMIN_MFA, and where it is not set: in production."""
        return self.production if self.admin_mfa is None else self.admin_mfa

    @property
    def keeps_mails(self) -> bool:
        """Without SMTP_URL, mails are kept for the developer to read; in production there are none at all."""
        return self.smtp_url is None and not self.production

    @property
    def has_mail(self) -> bool:
        return self.smtp_url is not None or self.keeps_mails

    @property
    def prints_mails(self) -> bool:
        """On the console and at /dev/mails: for the eyes of a developer, links included."""
        return self.keeps_mails and self.app_env is Environment.DEVELOPMENT

    @property
    def path_prefix(self) -> str:
        """The path of ISSUER, below which the service stands; empty where it has a host of its own."""
        return urlsplit(self.issuer).path.rstrip("/")

    @property
    def mail_base(self) -> str:
        """What links in mails begin with: from settings alone, never from a request (PWD-8)."""
        return self.account_url or self.issuer.rstrip("/")

    @cached_property
    def origins(self) -> frozenset[str]:
        """Web pages that may use cookies and read answers (CKE-2, CKE-4): our own origin and the listed ones."""
        return frozenset({origin_of(self.issuer), *self.allowed_origins})

    @property
    def secure_cookies(self) -> bool:
        """By the public address, which production wants to be https."""
        return self.issuer.startswith("https://")

    @cached_property
    def proxy_networks(self) -> tuple[Network, ...]:
        return networks_of(self.trusted_proxies)

    @cached_property
    def metrics_networks(self) -> tuple[Network, ...]:
        return networks_of(self.metrics_clients)

    @cached_property
    def webhook_networks(self) -> tuple[Network, ...]:
        return networks_of(self.webhook_private_networks)

    @property
    def kafka_client_options(self) -> dict[str, str | int]:
        """Of librdkafka, such as those for TLS and SASL."""
        options: dict[str, str | int] = json.loads(self.kafka_options.get_secret_value()) if self.kafka_options else {}
        return options

    @property
    def postgres_address(self) -> PostgresAddress:
        return read_postgres_url(self.database_url.get_secret_value())

    @property
    def pooled(self) -> bool:
        """DATABASE_URL leads to a pooler, which may give each transaction to another connection of the server."""
        return self.database_direct_url is not None

    @property
    def direct_address(self) -> PostgresAddress:
        """For what needs a session: migrations, locks that belong to a connection, LISTEN."""
        return read_postgres_url((self.database_direct_url or self.database_url).get_secret_value())

    @property
    def asyncpg_dsn(self) -> str:
        return self.postgres_address.dsn

    @property
    def redis_address(self) -> RedisAddress:
        return read_redis_url(self.redis_url.get_secret_value())

    @property
    def options_left_out(self) -> list[tuple[str, str, str]]:
        """Setting, option and reason of what the stores' URLs ask for and the service does without."""
        left_out = {"DATABASE_URL": self.postgres_address.left_out, "REDIS_URL": self.redis_address.left_out}
        if self.pooled:
            left_out["DATABASE_DIRECT_URL"] = self.direct_address.left_out
        return [(name, option, why) for name, reasons in left_out.items() for option, why in reasons.items()]


class _FileVariables(PydanticBaseSettingsSource):
    """`SECRET_KEY_FILE=/run/secrets/key` sets secret_key to the file's text without its last newline."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        variable = f"{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{variable}: cannot read the file it names ({type(error).__name__})") from None

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(None, name)[0] for name in self.settings_cls.model_fields}
        return {name: value for name, value in values.items() if value is not None}


def load_settings(**overrides: Any) -> Settings:
    """Settings of this process; raises ConfigError with a line for each wrong one."""
    in_production = os.environ.get("APP_ENV") == Environment.PRODUCTION
    env_files = (".env",) if in_production else (DEV_ENV_FILE, ".env")
    try:
        return Settings(_env_file=env_files, **overrides)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_input=False):
            message = str(item["msg"]).removeprefix("Value error, ")
            name = ".".join(str(part) for part in item["loc"]).upper()
            lines += [f"{name}: {message}"] if name else message.splitlines()
        raise ConfigError("\n".join(lines)) from None
