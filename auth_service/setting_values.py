"""How values of settings may be written: a checker raises ValueError with the remedy, never with the value. Pure."""

import importlib.util
import ipaddress
import json
import os
import re
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr
from pydantic_settings import NoDecode

from auth_service.colors import contrast
from auth_service.store_urls.postgres import read_postgres_url
from auth_service.store_urls.redis import read_redis_url

WIDEST_PRIVATE_NETWORK = 8  # 10.0.0.0/8 and fd00::/8 are private

PAGE_COLOR = "#f4f6f9"  # what our pages stand on by day
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
MOST_LOGO_BYTES = 50 * 1024

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
CommaList = Annotated[tuple[str, ...], NoDecode]

_ORIGIN = r"(?:https?://[a-z0-9.\-]+(?::\d{1,5})?|https?://\[[0-9a-f:.]+\](?::\d{1,5})?)"
# Segments that no proxy and no browser writes otherwise, so none needs percent-encoding or is . or ..
_PATH = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~\-]+)*"
_BROKERS = r"[A-Za-z0-9._\-\[\]:]+:\d{1,5}(,[A-Za-z0-9._\-\[\]:]+:\d{1,5})*"
# Of the extra `otel`.
_TRACING = (
    "opentelemetry.sdk.trace",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.asyncpg",
    "opentelemetry.instrumentation.redis",
)
# What the promises about events rest on (REL-4).
_FIXED_KAFKA_OPTIONS = frozenset({"bootstrap.servers", "enable.idempotence", "acks", "request.required.acks"})


def networks_of(listed: tuple[str, ...]) -> tuple[Network, ...]:
    items = ("0.0.0.0/0", "::/0") if "*" in listed else listed
    return tuple(ipaddress.ip_network(item, strict=False) for item in items)


def origin_of(address: str) -> str:
    """As browsers write it: lower case, and no port where it is the scheme's own."""
    parts = urlsplit(address.lower())
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}"


def _parts(url: SecretStr) -> SplitResult:
    return urlsplit(url.get_secret_value())


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


def _are_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(f"[{item}]" if _is_ipv6(item) else item for item in value)
    if not all(item == "*" or re.fullmatch(r"[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\]", item) for item in names):
        raise ValueError("list host names as clients ask for them: no scheme, no port, no path, no pattern")
    return names


def _is_place_to_listen(value: str) -> str:
    host = value.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[A-Za-z0-9._\-]+", host) and not _is_ipv6(host):
        raise ValueError("write an address of this machine, or 0.0.0.0 for all: no scheme; the port is in PORT")
    return host


def _is_issuer(value: str) -> str:
    # As it is written it stands in tokens, and other services compare it: nothing is made pretty here.
    if not re.fullmatch(rf"https?://([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:\d{{1,5}})?{_PATH}/?", value):
        raise ValueError(
            "write the public address, such as https://auth.cinema.example or https://cinema.example/id: "
            "no ?, no #, and in a path only letters, digits, . _ ~ and -"
        )
    return value


def _are_brokers(value: str) -> str:
    brokers = ",".join(part.strip() for part in value.split(","))
    if not re.fullmatch(_BROKERS, brokers):
        raise ValueError("write brokers as host:9092,host:9092, without a scheme; TLS belongs into KAFKA_OPTIONS")
    return brokers


def _are_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for item in value:
        if item != "*":
            try:
                ipaddress.ip_network(item, strict=False)
            except ValueError:
                raise ValueError("list addresses or networks, such as 10.0.0.0/8") from None
    return value


def _are_private_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        networks = networks_of(value) if "*" not in value else ()
    except ValueError:
        networks = ()
    if len(networks) != len(value) or any(network.prefixlen < WIDEST_PRIVATE_NETWORK for network in networks):
        raise ValueError("list networks that webhooks may reach, such as 10.20.0.0/16; none wider than a /8")
    return value


def _are_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(_ORIGIN, item) and item == origin_of(item) for item in value):
        raise ValueError(
            "list exact origins as browsers write them, such as https://www.cinema.example: "
            "no path, no *, no :443 or :80 where that goes without saying"
        )
    return value


def _is_address(value: str) -> str:
    if value and not re.fullmatch(rf"{_ORIGIN}(/[!-~]*)?", value):
        raise ValueError("write an address such as https://www.cinema.example/account")
    return value.removesuffix("/")


def _is_smtp(value: SecretStr) -> SecretStr:
    if _scheme(value) not in {"smtp", "smtps"} or not _parts(value).hostname:
        raise ValueError("write it as smtp://user:password@host:587 or smtps://…, the password percent-encoded")
    if _parts(value).path.strip("/") or _parts(value).query or _parts(value).fragment:
        raise ValueError("ends with host and port: smtps:// is TLS from the start, smtp:// is STARTTLS; ? is %3F")
    return value


def _are_kafka_options(value: SecretStr) -> SecretStr:
    try:
        options = json.loads(value.get_secret_value())
    except ValueError:
        options = None
    if not isinstance(options, dict) or not all(isinstance(item, str | int) for item in options.values()):
        raise ValueError('write a JSON object such as {"security.protocol": "SSL", "ssl.ca.location": "/ca.pem"}')
    if options.keys() & _FIXED_KAFKA_OPTIONS:
        raise ValueError("must not set what the delivery of events rests on: brokers, acks, idempotence")
    return value


def _is_collector(value: str) -> str:
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


def _is_readable_color(value: str) -> str:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
        raise ValueError("write a colour as #rrggbb, such as #1f5fbf")
    if contrast(value, PAGE_COLOR) < LEAST_CONTRAST:
        raise ValueError(
            "must be darker: links in this colour on our pages, and white text on it, need a contrast of 4.5:1 or more"
        )
    return value.lower()


def _is_logo(value: Path) -> Path:
    if value.suffix not in LOGO_TYPES:
        raise ValueError(f"must be a file that ends in one of: {', '.join(LOGO_TYPES)}")
    try:
        size = value.stat().st_size if value.is_file() else 0
    except OSError:
        size = 0
    if not 0 < size <= MOST_LOGO_BYTES:
        raise ValueError("must name a file that the service can read, of at most 50 KiB")
    return value


def _is_sender(value: str) -> str:
    if "@" not in parseaddr(value)[1] or any(ord(char) < 0x20 for char in value):
        raise ValueError("write a sender such as Cinema <no-reply@cinema.example>")
    return value


def _is_rate(value: str) -> str:
    from limits import parse

    try:
        parse(value)
    except ValueError:
        raise ValueError("write a rate such as 30/minute or 10/hour") from None
    return value


def _is_postgres(value: SecretStr) -> SecretStr:
    read_postgres_url(value.get_secret_value())
    return value


def _is_redis(value: SecretStr) -> SecretStr:
    read_redis_url(value.get_secret_value())
    return value


def _is_level(value: str) -> str:
    if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("use DEBUG, INFO, WARNING or ERROR")
    return value.upper()


Hosts = Annotated[CommaList, AfterValidator(_are_hosts)]
ListenHost = Annotated[str, AfterValidator(_is_place_to_listen)]
Issuer = Annotated[str, AfterValidator(_is_issuer)]
Brokers = Annotated[str, AfterValidator(_are_brokers)]
Networks = Annotated[CommaList, AfterValidator(_are_networks)]
PrivateNetworks = Annotated[CommaList, AfterValidator(_are_private_networks)]
Origins = Annotated[CommaList, AfterValidator(_are_origins)]
BrandColor = Annotated[str, AfterValidator(_is_readable_color)]
BrandLogo = Annotated[Path, AfterValidator(_is_logo)]
PageAddress = Annotated[str, AfterValidator(_is_address)]
SmtpUrl = Annotated[SecretStr, AfterValidator(_is_smtp)]
KafkaOptions = Annotated[SecretStr, AfterValidator(_are_kafka_options)]
Collector = Annotated[str, AfterValidator(_is_collector)]
Sender = Annotated[str, AfterValidator(_is_sender)]
Rate = Annotated[str, AfterValidator(_is_rate)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_is_postgres)]
RedisUrl = Annotated[SecretStr, AfterValidator(_is_redis)]
LogLevel = Annotated[str, AfterValidator(_is_level)]
