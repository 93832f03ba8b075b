"""Every setting of the service, typed and checked at start."""

import importlib.util
import ipaddress
import json
import os
import re
from email.utils import parseaddr
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from auth_service.store_urls.postgres import PostgresAddress, read_postgres_url
from auth_service.store_urls.redis import RedisAddress, read_redis_url

DEVELOPMENT_SECRET = "development-only-secret-never-use-this-in-production"  # noqa: S105
DEFAULT_DATABASE_URL = "postgresql://auth:auth@localhost:5432/auth"
DEV_ENV_FILE = Path(".dev/env")  # written by `auth-service dev`, so that the CLI finds its servers

WIDEST_PROXY_NETWORK = 8  # 10.0.0.0/8 and fd00::/8 are private

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
CommaList = Annotated[tuple[str, ...], NoDecode]
_ORIGIN = r"(?:https?://[a-z0-9.\-]+(?::\d{1,5})?|https?://\[[0-9a-f:.]+\](?::\d{1,5})?)"

_BROKERS = r"[A-Za-z0-9._\-\[\]:]+:\d{1,5}(,[A-Za-z0-9._\-\[\]:]+:\d{1,5})*"
_TOPIC = r"^[A-Za-z0-9._\-]{1,249}$"
# Of the extra `otel`.
_TRACING = (
    "opentelemetry.sdk.trace",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.asyncpg",
    "opentelemetry.instrumentation.redis",
)
# What the promises about events rest on (REL-4).
_FIXED_KAFKA_OPTIONS = frozenset({"bootstrap.servers", "enable.idempotence", "acks", "request.required.acks"})


class ConfigError(Exception):
    """One line per wrong setting; names the setting and the remedy, never the value."""


class Environment(StrEnum):
    """Where the process runs; only `production` refuses default secrets and demo data."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """Read from the environment, then `.env`; `NAME_FILE` gives a secret from a file."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    app_env: Environment = Environment.DEVELOPMENT
    database_url: SecretStr = SecretStr(DEFAULT_DATABASE_URL)
    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    secret_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    secret_key_previous: SecretStr | None = None

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    drain_seconds: float = Field(default=5.0, ge=0, le=60)
    log_level: str = "INFO"
    log_file: Path | None = None
    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")

    issuer: str = "http://localhost:8000"
    issuer_name: str = Field(default="Cinema", min_length=1, max_length=60, pattern="^[^:]+$")
    audience: str = "cinema"
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

    allowed_hosts: CommaList = ("localhost", "127.0.0.1", "[::1]")
    trusted_proxies: CommaList = ()
    metrics_clients: CommaList = ("127.0.0.1", "::1")
    allowed_origins: CommaList = ()
    rate_limit_login: str = "30/minute"
    rate_limit_register: str = "10/hour"
    rate_limit_refresh: str = "120/minute"
    rate_limit_token: str = "60/minute"  # noqa: S105

    database_pool_size: int = Field(default=10, ge=1, le=200)
    database_timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    redis_pool_size: int = Field(default=32, ge=1, le=500)
    redis_timeout_ms: int = Field(default=150, ge=10, le=10_000)
    pool_queue: int = Field(default=1000, ge=1, le=100_000)
    pool_wait_seconds: float = Field(default=2.0, gt=0, le=60)
    history_months_ahead: int = Field(default=3, ge=3, le=24)
    history_months_kept: int = Field(default=24, ge=1, le=1200)

    smtp_url: SecretStr | None = None
    mail_from: str = "Cinema <no-reply@localhost>"
    account_url: str = ""

    kafka_bootstrap: str | None = None
    kafka_options: SecretStr | None = None
    kafka_topic_new_user: str = Field(default="uploading_data", pattern=_TOPIC)
    kafka_topic_events: str = Field(default="auth.events", pattern=_TOPIC)
    relay_in_workers: bool = True
    events_kept_days: int = Field(default=7, ge=1, le=365)
    webhook_private_networks: CommaList = ()

    otel_exporter_otlp_endpoint: str | None = None

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

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(f"[{item}]" if _is_ipv6(item) else item for item in value)
        if not all(item == "*" or re.fullmatch(r"[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\]", item) for item in names):
            raise ValueError("list host names as clients ask for them: no scheme, no port, no path, no pattern")
        return names

    @field_validator("host")
    @classmethod
    def _is_place_to_listen(cls, value: str) -> str:
        host = value.removeprefix("[").removesuffix("]")
        if not re.fullmatch(r"[A-Za-z0-9._\-]+", host) and not _is_ipv6(host):
            raise ValueError("write an address of this machine, or 0.0.0.0 for all: no scheme; the port is in PORT")
        return host

    @field_validator("issuer")
    @classmethod
    def _is_issuer(cls, value: str) -> str:
        # As it is written it stands in tokens, and other services compare it: nothing is made pretty here.
        if not re.fullmatch(r"https?://([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[^?#\s]*)?", value):
            raise ValueError("write the public address, such as https://auth.cinema.example: no ? and no #")
        return value

    @field_validator("kafka_bootstrap")
    @classmethod
    def _are_brokers(cls, value: str | None) -> str | None:
        brokers = None if value is None else ",".join(part.strip() for part in value.split(","))
        if brokers is not None and not re.fullmatch(_BROKERS, brokers):
            raise ValueError("write brokers as host:9092,host:9092, without a scheme; TLS belongs into KAFKA_OPTIONS")
        return brokers

    @field_validator("trusted_proxies", "metrics_clients")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if item != "*":
                try:
                    ipaddress.ip_network(item, strict=False)
                except ValueError:
                    raise ValueError("list addresses or networks, such as 10.0.0.0/8") from None
        return value

    @field_validator("webhook_private_networks")
    @classmethod
    def _are_private_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            networks = _networks(value) if "*" not in value else ()
        except ValueError:
            networks = ()
        if len(networks) != len(value) or any(network.prefixlen < WIDEST_PROXY_NETWORK for network in networks):
            raise ValueError("list networks that webhooks may reach, such as 10.20.0.0/16; none wider than a /8")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(_ORIGIN, item) and item == _origin_of(item) for item in value):
            raise ValueError(
                "list exact origins as browsers write them, such as https://www.cinema.example: "
                "no path, no *, no :443 or :80 where that goes without saying"
            )
        return value

    @field_validator("account_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not re.fullmatch(rf"{_ORIGIN}(/[!-~]*)?", value):
            raise ValueError("write an address such as https://www.cinema.example/account")
        return value.removesuffix("/")

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        if _scheme(value) not in {"smtp", "smtps"} or not _parts(value).hostname:
            raise ValueError("write it as smtp://user:password@host:587 or smtps://…, the password percent-encoded")
        if _parts(value).path.strip("/") or _parts(value).query or _parts(value).fragment:
            raise ValueError("ends with host and port: smtps:// is TLS from the start, smtp:// is STARTTLS; ? is %3F")
        return value

    @field_validator("kafka_options")
    @classmethod
    def _are_kafka_options(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            options = json.loads(value.get_secret_value())
        except ValueError:
            options = None
        if not isinstance(options, dict) or not all(isinstance(item, str | int) for item in options.values()):
            raise ValueError('write a JSON object such as {"security.protocol": "SSL", "ssl.ca.location": "/ca.pem"}')
        if options.keys() & _FIXED_KAFKA_OPTIONS:
            raise ValueError("must not set what the delivery of events rests on: brokers, acks, idempotence")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_collector(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"https?://(\[[0-9a-f:.]+\]|[A-Za-z0-9.\-]+)(:\d{1,5})?(/[A-Za-z0-9._\-/]*)?", value):
            raise ValueError(
                "write the collector's address for OTLP over HTTP, such as http://collector:4318; "
                "a password belongs into OTEL_EXPORTER_OTLP_HEADERS"
            )
        if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") not in {None, "", "http/protobuf"}:
            raise ValueError("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf: traces go over HTTP, to port 4318")
        if not all(map(_is_installed, _TRACING)):
            raise ValueError("traces are not installed here: pip install 'auth-service[otel]', or leave it out")
        return value.removesuffix("/").removesuffix("/v1/traces")  # which is added to it

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, value: str) -> str:
        if "@" not in parseaddr(value)[1] or any(ord(char) < 0x20 for char in value):
            raise ValueError("write a sender such as Cinema <no-reply@cinema.example>")
        return value

    @field_validator("rate_limit_login", "rate_limit_register", "rate_limit_refresh", "rate_limit_token")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        from limits import parse

        try:
            parse(value)
        except ValueError:
            raise ValueError("write a rate such as 30/minute or 10/hour") from None
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr) -> SecretStr:
        read_postgres_url(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        read_redis_url(value.get_secret_value())
        return value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("use DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        problems = []
        for name in ("secret_key", "secret_key_previous"):
            secret: SecretStr | None = getattr(self, name)
            if secret is not None and len(secret.get_secret_value().encode()) < 32:
                problems.append(f"{name.upper()} must have at least 32 bytes: openssl rand -base64 48")
        if self.session_idle_seconds > self.session_absolute_seconds:
            problems.append("SESSION_IDLE_SECONDS must not exceed SESSION_ABSOLUTE_SECONDS")
        if self.production:
            problems += self._production_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _production_problems(self) -> list[str]:
        problems = []
        if self.secret_key.get_secret_value() == DEVELOPMENT_SECRET:
            problems.append("SECRET_KEY is the development default; set your own: openssl rand -base64 48")
        previous = self.secret_key_previous
        if previous is not None and previous.get_secret_value() == DEVELOPMENT_SECRET:
            problems.append("SECRET_KEY_PREVIOUS is the development default: whoever knows it could make tokens")
        if self.asyncpg_dsn == DEFAULT_DATABASE_URL:
            problems.append("DATABASE_URL is the development default; set your own")
        if any(network.prefixlen < WIDEST_PROXY_NETWORK for network in self.proxy_networks):
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
    def mail_base(self) -> str:
        """What links in mails begin with: from settings alone, never from a request (PWD-8)."""
        return self.account_url or self.issuer.rstrip("/")

    @cached_property
    def origins(self) -> frozenset[str]:
        """Web pages that may use cookies and read answers (CKE-2, CKE-4): our own origin and the listed ones."""
        return frozenset({_origin_of(self.issuer), *self.allowed_origins})

    @property
    def secure_cookies(self) -> bool:
        """By the public address, which production wants to be https."""
        return self.issuer.startswith("https://")

    @cached_property
    def proxy_networks(self) -> tuple[Network, ...]:
        return _networks(self.trusted_proxies)

    @cached_property
    def metrics_networks(self) -> tuple[Network, ...]:
        return _networks(self.metrics_clients)

    @cached_property
    def webhook_networks(self) -> tuple[Network, ...]:
        return _networks(self.webhook_private_networks)

    @property
    def kafka_client_options(self) -> dict[str, str | int]:
        """Of librdkafka, such as those for TLS and SASL."""
        options: dict[str, str | int] = json.loads(self.kafka_options.get_secret_value()) if self.kafka_options else {}
        return options

    @property
    def postgres_address(self) -> PostgresAddress:
        return read_postgres_url(self.database_url.get_secret_value())

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
        return [(name, option, why) for name, reasons in left_out.items() for option, why in reasons.items()]


def _networks(listed: tuple[str, ...]) -> tuple[Network, ...]:
    items = ("0.0.0.0/0", "::/0") if "*" in listed else listed
    return tuple(ipaddress.ip_network(item, strict=False) for item in items)


def _parts(url: SecretStr) -> SplitResult:
    return urlsplit(url.get_secret_value())


def _origin_of(address: str) -> str:
    """As browsers write it: lower case, and no port where it is the scheme's own."""
    parts = urlsplit(address.lower())
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}"


def _scheme(url: SecretStr) -> str | None:
    """None for what is no URL; urllib's own words would repeat a part of it, perhaps the password."""
    try:
        return _parts(url).scheme if _parts(url).port != 0 else None
    except ValueError:
        return None


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # what it is in
        return False


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
