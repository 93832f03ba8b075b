"""What can be seen in the settings alone, and in the files and the environment they come from."""

import os
import re
import stat
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from auth_service.config import ConfigError, Environment, Settings
from auth_service.core.connections import Resources
from auth_service.doctor.finding import Finding, Severity

_LINE = re.compile(r"([A-Z][A-Z_]+)\b:?\s*(.*)")
_SECRETS = tuple(name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))
_FIXES = {
    "SECRET_KEY": "write `openssl rand -base64 48` into a file of mode 600 that SECRET_KEY_FILE names",
    "DATABASE_URL": "write postgresql://user:password@host:5432/name, special characters of the password "
    "percent-encoded; best in a file that DATABASE_URL_FILE names",
    "REDIS_URL": "write redis://:password@host:6379/0 or rediss://…, the password percent-encoded",
    "ISSUER": "write the public address that clients use, such as https://auth.cinema.example, or"
    " https://cinema.example/id below a path of a site",
    "ALLOWED_HOSTS": "list the host names that clients ask for, such as auth.cinema.example",
    "TRUSTED_PROXIES": "list the addresses of your own proxies, such as 10.0.0.5 or 10.0.0.0/24",
    "ALLOWED_ORIGINS": "list exact origins, such as https://www.cinema.example, separated by commas",
    "LOG_LEVEL": "set INFO",
}


def settings_refused(error: ConfigError) -> list[Finding]:
    """A finding for each line: the service would not start."""
    findings = []
    for line in str(error).splitlines():
        match = _LINE.match(line)
        name, complaint = (match[1], match[2]) if match else ("settings", line)
        fix = _FIXES.get(name, "write what docs/settings.md allows, or leave it out for the default")
        if name.endswith("_FILE"):
            fix = "name a file that exists and that the service's user may read: mode 600, owned by that user"
        findings.append(Finding("settings", name, complaint, fix))
    return findings


def secret_files() -> list[Finding]:
    """Files with secrets that every user of this machine may read or change (SEC-2)."""
    named = {f"{name}_FILE": os.environ.get(f"{name}_FILE") for name in _SECRETS}
    files = {variable: Path(path) for variable, path in named.items() if path} | {".env": Path(".env")}
    findings = []
    for variable, path in files.items():
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # without it the settings are refused, or there is no .env
        # In a container others are nobody, and Docker mounts its secrets readable: no problem by itself.
        for right, words, severity in (
            (stat.S_IWOTH, "may be changed by every user of this machine", Severity.PROBLEM),
            (stat.S_IROTH, "may be read by every user of this machine", Severity.WARNING),
        ):
            if mode & right:
                fix = f"chmod 600 {path}, and make the service's user its owner"
                findings.append(Finding("secret_files", variable, f"the file {words}", fix, severity))
                break
    return findings


def secrets_in_environment() -> list[Finding]:
    """In production: /proc, `docker inspect` and crash reports show the environment (SEC-2)."""
    if os.environ.get("APP_ENV") != Environment.PRODUCTION:
        return []
    return [
        Finding(
            "secrets_in_environment",
            name,
            "the secret stands in the environment, which `docker inspect`, /proc and crash reports show",
            f"write it into a file of mode 600 and name that in {name}_FILE",
            Severity.WARNING,
        )
        for name in _SECRETS
        if os.environ.get(name)
    ]


async def issuer(resources: Resources) -> list[Finding]:
    """Whoever asks for the public address must be let in by ALLOWED_HOSTS."""
    settings = resources.settings
    parts = urlsplit(settings.issuer)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.scheme not in {"http", "https"} or not host:
        return [Finding("issuer", "ISSUER", "is no http:// or https:// address", _FIXES["ISSUER"])]
    if "*" in settings.allowed_hosts or host in {name.lower() for name in settings.allowed_hosts}:
        return []
    fix = f"add {host} to ALLOWED_HOSTS, or correct ISSUER"
    problem = f"does not list {host}, the host of ISSUER: requests to the public address are refused"
    return [Finding("issuer", "ALLOWED_HOSTS", problem, fix)]


async def proxies(resources: Resources) -> list[Finding]:
    """The service speaks plain HTTP: where the public address is https, a proxy stands before it."""
    settings = resources.settings
    if settings.trusted_proxies or not (settings.production and settings.issuer.startswith("https://")):
        return []
    problem = "is empty, but something in front ends the TLS of ISSUER: all clients share its address and its limits"
    return [Finding("proxies", "TRUSTED_PROXIES", problem, _FIXES["TRUSTED_PROXIES"])]


async def mail_settings(resources: Resources) -> list[Finding]:
    """In production: whether links of mails can be sent, and by whom."""
    settings = resources.settings
    if not settings.production:
        return []
    if settings.smtp_url is None:
        problem = "is not set: nobody can reset a forgotten password, and no address is ever confirmed"
        fix = "set SMTP_URL_FILE to a file with smtp://user:password@host:587"
        return [Finding("mail_settings", "SMTP_URL", problem, fix, Severity.WARNING)]
    if parseaddr(settings.mail_from)[1].endswith("@localhost"):
        problem = "is an address at localhost: other servers refuse such mails"
        fix = "set a sender of your domain, such as Cinema <no-reply@cinema.example>"
        return [Finding("mail_settings", "MAIL_FROM", problem, fix, Severity.WARNING)]
    return []


async def account_url(resources: Resources) -> list[Finding]:
    """With ACCOUNT_URL the service has no pages for the links of mails."""
    settings = resources.settings
    issuer = settings.issuer.rstrip("/")
    if settings.account_url not in {issuer, f"{issuer}/account"}:
        return []
    problem = "is of ISSUER: the links of mails lead to the service, which has pages for them only without this setting"
    return [Finding("account_url", "ACCOUNT_URL", problem, "leave it out, or name the cinema's own account pages")]


async def redis_tls(resources: Resources) -> list[Finding]:
    """In production, to another machine (SEC-1)."""
    url: SecretStr = resources.settings.redis_url
    parts = urlsplit(url.get_secret_value())
    if resources.settings.production and resources.settings.redis_address.options.get("ssl_cert_reqs") == "none":
        problem = "is encrypted, but to whom is not verified: whoever stands in between reads and changes all"
        fix = "leave ssl_cert_reqs=none out, with the server's authority in ssl_ca_certs; or use a private network"
        return [Finding("redis_tls", "REDIS_URL", problem, fix, Severity.WARNING)]
    if not resources.settings.production or parts.scheme != "redis" or _is_loopback(parts.hostname):
        return []
    problem = "is not encrypted: whoever listens on the way reads the password and what is kept there"
    return [Finding("redis_tls", "REDIS_URL", problem, "use rediss:// (TLS), or a private network", Severity.WARNING)]


def _is_loopback(host: str | None) -> bool:
    return host in {None, "localhost", "127.0.0.1", "::1"}
