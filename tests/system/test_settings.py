"""A bad setting stops the start and is named; its value is not. And the two lists of settings are whole and true."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from auth_service.config import DEFAULT_DATABASE_URL, DEVELOPMENT_SECRET, ConfigError, Settings, load_settings
from tests.conftest import ROOT
from tests.support.bad_settings import BAD, CANARY
from tests.support.smtp_server import certificate_for_tests

OWN_SECRET = "a secret of production, long enough to be one"
PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": OWN_SECRET,
    "DATABASE_URL": "postgresql://auth:other@db.internal:5432/auth",
    "REDIS_URL": "rediss://redis.internal:6379/0",
    "ISSUER": "https://auth.cinema.example",
    "ALLOWED_HOSTS": "auth.cinema.example",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the caller, and no .env."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)


def _load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_sec_1_a_bad_setting_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(monkeypatch, **{name: value})
    assert name in str(caught.value)
    assert CANARY[:20] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_sec_1_every_wrong_one_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(monkeypatch, PORT="0", LOG_FORMAT="xml", RATE_LIMIT_LOGIN="a")
    names = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert sorted(names) == ["LOG_FORMAT", "PORT", "RATE_LIMIT_LOGIN"]


NOT_IN_PRODUCTION = [
    ("SECRET_KEY", DEVELOPMENT_SECRET),
    ("SECRET_KEY", None),
    ("SECRET_KEY", "short"),
    ("SECRET_KEY_PREVIOUS", DEVELOPMENT_SECRET),
    ("DATABASE_URL", DEFAULT_DATABASE_URL),
    ("DATABASE_URL", None),
    ("DATABASE_URL", DEFAULT_DATABASE_URL.replace("postgresql:", "postgres:")),
    ("DATABASE_URL", DEFAULT_DATABASE_URL.replace("postgresql:", "postgresql+asyncpg:")),
    ("TRUSTED_PROXIES", "*"),
    ("TRUSTED_PROXIES", "10.0.0.1, *"),
    ("TRUSTED_PROXIES", "0.0.0.0/0"),
    ("TRUSTED_PROXIES", "::/0"),
    ("TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1"),
    ("ALLOWED_HOSTS", "*"),
    ("ALLOWED_HOSTS", "auth.cinema.example,*"),
    ("ISSUER", "http://auth.cinema.example"),
    ("ISSUER", None),
    ("ALLOWED_ORIGINS", "http://www.cinema.example"),
    ("ALLOWED_ORIGINS", "https://www.cinema.example,http://localhost:3000"),
    ("LOG_LEVEL", "DEBUG"),
    ("LOG_LEVEL", "debug"),
]


@pytest.mark.parametrize(("name", "value"), NOT_IN_PRODUCTION)
def test_sec_1_refused_in_production(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    values = {key: item for key, item in (PRODUCTION | {name: value}).items() if item is not None}
    with pytest.raises(ConfigError) as caught:
        _load(monkeypatch, **values)
    assert re.match(rf"{name}\b", str(caught.value)), caught.value
    assert len(str(caught.value).splitlines()) == 1
    assert value is None or len(value) < 8 or value not in str(caught.value)


def test_sec_1_what_production_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, **PRODUCTION, TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::1")
    assert settings.production
    assert [str(network) for network in settings.proxy_networks] == ["10.0.0.0/8", "2001:db8::1/128"]


def test_sec_1_production_has_no_defaults_to_rely_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(monkeypatch, APP_ENV="production")
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["SECRET_KEY", "DATABASE_URL", "ISSUER"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("serve", "DATABASE_URL", f"postgresql://auth:a/{CANARY}@localhost:5432/auth"),
        ("serve", "SECRET_KEY_FILE", "/nowhere/at/all"),
        ("migrate", "REDIS_URL", f"redis://:a/{CANARY}@localhost:6379/0"),
    ],
)
async def test_sec_1_the_command_exits_naming_the_setting(command: str, name: str, value: str) -> None:
    inherited = {key: item for key, item in os.environ.items() if key.lower() not in Settings.model_fields}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "auth_service", command),
        env={**inherited, name: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 2, output
    assert name in output
    assert len(output.splitlines()) == 1, output
    assert CANARY not in output


# --- secrets from files


def test_sec_2_a_secret_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in (OWN_SECRET, f"{OWN_SECRET}\n", f"{OWN_SECRET}\r\n"):
        (tmp_path / "key").write_text(text)
        settings = _load(monkeypatch, SECRET_KEY_FILE=str(tmp_path / "key"))
        assert settings.secret_key.get_secret_value() == OWN_SECRET
    (tmp_path / "key").write_text(f"  {OWN_SECRET}  ")
    assert load_settings().secret_key.get_secret_value() == f"  {OWN_SECRET}  "


def test_sec_2_every_setting_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in PRODUCTION.items():
        (tmp_path / name).write_text(value)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    settings = load_settings()
    assert settings.production
    assert settings.database_url.get_secret_value() == PRODUCTION["DATABASE_URL"]


def test_sec_2_the_variable_itself_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "issuer").write_text("https://from-file.example")
    settings = _load(monkeypatch, ISSUER="https://from-variable.example", ISSUER_FILE=str(tmp_path / "issuer"))
    assert settings.issuer == "https://from-variable.example"


@pytest.mark.parametrize("kind", ["absent", "folder", "binary", "empty", "short"])
def test_sec_2_a_bad_file_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key"
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes({"binary": b"\xff" * 40, "empty": b"", "short": CANARY[:20].encode()}[kind])
    with pytest.raises(ConfigError) as caught:
        _load(monkeypatch, SECRET_KEY_FILE=str(path))
    assert "SECRET_KEY" in str(caught.value)
    assert CANARY[:20] not in str(caught.value)


# As `docker run --env-file` passes on what was written for a shell; and what people add without seeing it.
AS_MEANT = [
    ("DATABASE_URL", '"postgresql://auth:a@db:5432/auth"', "postgresql://auth:a@db:5432/auth"),
    ("DATABASE_URL", " postgresql://auth:a@db:5432/auth\n", "postgresql://auth:a@db:5432/auth"),
    ("REDIS_URL", "'redis://redis:6379/1'", "redis://redis:6379/1"),
    ("REDIS_URL", '""', "redis://localhost:6379/0"),
    ("PORT", '"9000"', 9000),
    ("HOST", "[::1]", "::1"),
    ("ISSUER", '"https://auth.cinema.example"', "https://auth.cinema.example"),
    ("AUDIENCE", "'cinema'", "cinema"),
    ("ALLOWED_HOSTS", '"auth.cinema.example, ::1"', ("auth.cinema.example", "[::1]")),
    ("ALLOWED_ORIGINS", "''", ()),
    ("TRUSTED_PROXIES", '"10.0.0.0/8,fd00::/8"', ("10.0.0.0/8", "fd00::/8")),
    ("LOG_LEVEL", '" info "', "INFO"),
    ("SMTP_URL", '"smtp://[2001:db8::1]:587/"', "smtp://[2001:db8::1]:587/"),
    ("MAIL_FROM", '"Cinema" <no-reply@cinema.example>', '"Cinema" <no-reply@cinema.example>'),
    ("MAIL_FROM", "'Cinema <no-reply@cinema.example>'", "Cinema <no-reply@cinema.example>"),
    ("KAFKA_BOOTSTRAP", '"kafka-1:9092, kafka_2:9092"', "kafka-1:9092,kafka_2:9092"),
    ("KAFKA_OPTIONS", """'{"security.protocol": "SSL"}'""", '{"security.protocol": "SSL"}'),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/v1/traces/", "http://collector:4318"),
    ("ACCOUNT_URL", '"https://www.cinema.example/account/"', "https://www.cinema.example/account"),
    ("SECRET_KEY", f'"{OWN_SECRET}"', f'"{OWN_SECRET}"'),  # a key is its bytes
    ("SECRET_KEY", f" {OWN_SECRET} ", f" {OWN_SECRET} "),
]


@pytest.mark.parametrize(("name", "written", "meant"), AS_MEANT)
def test_what_surrounds_a_value_is_not_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, meant: Any
) -> None:
    value = getattr(_load(monkeypatch, **{name: written}), name.lower())
    assert (value.get_secret_value() if isinstance(value, SecretStr) else value) == meant


def test_links_in_mails_have_one_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, ISSUER="https://auth.cinema.example/")
    assert settings.issuer == "https://auth.cinema.example/"  # as it stands in tokens, and in other services' settings
    assert settings.mail_base == "https://auth.cinema.example"
    assert "https://auth.cinema.example" in settings.origins


def test_settings_from_a_dotenv_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'SECRET_KEY="{OWN_SECRET}"\nPORT=9000\nNO_SETTING_OF_OURS=1\n')
    assert load_settings().port == 9000
    assert load_settings().secret_key.get_secret_value() == OWN_SECRET
    assert _load(monkeypatch, PORT="9001").port == 9001
    assert _load(monkeypatch, PORT="").port == 9000  # as Docker Compose passes what is not set


def test_production_does_not_read_what_dev_wrote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".dev").mkdir()
    (tmp_path / ".dev" / "env").write_text("PORT=9000\n")
    assert load_settings().port == 9000
    assert _load(monkeypatch, **PRODUCTION).port == 8000


def test_sec_2_no_secret_in_any_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(
        monkeypatch,
        SECRET_KEY=CANARY,
        SECRET_KEY_PREVIOUS=CANARY,
        DATABASE_URL=f"postgresql://auth:{CANARY}@localhost/auth",
        REDIS_URL=f"redis://:{CANARY}@localhost/0",
    )
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert CANARY not in shown
        assert "**********" in shown


# --- the lists


def _as_written(value: Any) -> str:
    """A default as one writes it into the environment."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "value", value))


# Those depend on the machine.
COMPUTED = {"hash_workers": "the number of cores, at most 8"}


def test_the_example_has_every_setting_with_its_default() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    found = {}
    for number, line in enumerate(lines):
        if match := re.fullmatch(r"(#?)([A-Z_]+)=(.*)", line):
            found[match[2].lower()] = match[3]
            assert lines[number - 1].startswith("# "), f"{match[2]} has no comment above it"
    assert found.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        if name not in COMPUTED:
            assert found[name] == _as_written(field.default), name


def test_the_example_is_a_working_dotenv_file(tmp_path: Path) -> None:
    """Also with every setting switched on."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for version in (text, re.sub(r"^#(?=[A-Z_]+=.)", "", text, flags=re.MULTILINE)):
        (tmp_path / ".env").write_text(version)
        assert load_settings().model_dump(exclude=set(COMPUTED)) == Settings(_env_file=None).model_dump(
            exclude=set(COMPUTED)
        )


def test_the_page_of_settings_is_true() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| (.+) \|$", page, re.MULTILINE)
    assert [name.lower() for name, _, _ in rows] == list(Settings.model_fields)
    for name, default, meaning in rows:
        expected = COMPUTED.get(name.lower())
        if expected is None:
            written = _as_written(Settings.model_fields[name.lower()].default)
            expected = f"`{written}`" if written else "none"
        assert default == expected, name
        assert len(meaning) > 10


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    checked = 0
    for name, field in Settings.model_fields.items():
        bounds = {key: getattr(item, key) for item in field.metadata for key in ("ge", "le") if hasattr(item, key)}
        if bounds.keys() == {"ge", "le"}:
            row = re.search(rf"^\| `{name.upper()}` .*$", page, re.MULTILINE)
            assert row is not None
            assert f"{bounds['ge']} to {bounds['le']}" in row[0], name
            checked += 1
    assert checked > 15


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "service"),
    [
        ("redis://:p%40ss@one:6380/2", "single", "one:6380", ""),
        ("rediss://one", "single", "one:6379", ""),
        ("redis+sentinel://one,two:26380/3?service=cinema", "sentinel", "one:26379, two:26380", "cinema"),
        ("rediss+sentinel://me:p%40ss@[::1]:1,two?service=a&ssl_ca_certs={ca}", "sentinel", "::1:1, two:26379", "a"),
        ("redis+cluster://:p%40ss@one:7000,two:7001", "cluster", "one:7000, two:7001", ""),
        ("rediss+cluster://one/0", "cluster", "one:6379", ""),
    ],
)
def test_redis_url_has_three_forms(url: str, kind: str, hosts: str, service: str, tmp_path: Path) -> None:
    certificate, _ = certificate_for_tests(tmp_path)
    address = Settings(_env_file=None, redis_url=SecretStr(url.replace("{ca}", str(certificate)))).redis_address
    assert (address.kind, str(address), address.service) == (kind, hosts, service)
    assert "p@ss" not in repr(address) + str(address)
    if kind != "single":
        assert address.options.get("password") == ("p@ss" if "p%40ss" in url else None)
        assert bool(address.options.get("ssl")) is url.startswith("rediss")
        assert address.options.get("ssl_ca_certs") == (str(certificate) if "{ca}" in url else None)


def test_a_sentinel_has_a_password_of_its_own() -> None:
    url = "redis+sentinel://:of-the-data@one/0?service=cinema&sentinel_password=of-the-sentinels"
    address = Settings(_env_file=None, redis_url=SecretStr(url)).redis_address
    assert address.options["password"] == "of-the-data"
    assert address.sentinel_options == {"password": "of-the-sentinels"}


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://auth:pw@db1:5432,db2:6432/auth", (("db1", 5432), ("db2", 6432))),
        ("postgres://auth:p%2Cw%40@db1,[2001:db8::1]:6432/auth", (("db1", 5432), ("2001:db8::1", 6432))),
        ("postgresql+asyncpg://auth:pw@localhost/auth", (("localhost", 5432),)),
        ("postgresql:///auth?host=/run/postgresql", (("/run/postgresql", 5432),)),
    ],
)
def test_database_url_may_list_hosts(
    monkeypatch: pytest.MonkeyPatch, url: str, hosts: tuple[tuple[str, int], ...]
) -> None:
    assert _load(monkeypatch, DATABASE_URL=url).postgres_address.hosts == hosts
