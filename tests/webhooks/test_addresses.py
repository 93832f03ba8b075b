"""Where a webhook may lead: never inside, by whatever name or number, and never onwards (SSRF)."""

import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_service.config import Environment
from auth_service.webhooks.addresses import Unreachable, resolve
from auth_service.webhooks.sender import MOST_READ, Sender, trusted
from tests.conftest import Fresh, test_settings
from tests.support.api import V1, Api, Tokens, error_of
from tests.support.receiver import Receiver, receiving

HOOKS = f"{V1}/admin/webhooks"
LOOPBACK = ("127.0.0.0/8",)
INSIDE = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "192.0.2.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("2130706433", "0x7f000001", "0x7f.1", "127.1", "017700000001"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]"),
    *("[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001::1]"),
    *("[2001:db8::1]", "[fec0::1]", "[64:ff9b:1::1]"),
]
NO_URL = [
    *("http://user@hooks.invalid/", "http://user:password@hooks.invalid/", "http://@hooks.invalid/"),
    *("ftp://hooks.invalid/", "file:///etc/passwd", "gopher://hooks.invalid/", "//hooks.invalid/", "hooks.invalid"),
    *("http://", "http:///x", "http://a b/", "http://hooks.invalid:0/", "http://hooks.invalid:65536/", "https://h/#x"),
    *(
        "http://127.0.0.1%00.invalid/",
        "http://[::1%25lo]/",
        "http://hooks.invalid\\@127.0.0.1/",
        "http://１２７.0.0.1/",
    ),
    "http://0177.0.0.1/",
    "https://hooks.invalid/" + "x" * 2000,
]


@pytest.fixture(scope="module")
async def admin(api: Api) -> Tokens:
    return (await api.as_role("superuser"))[1]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.mark.parametrize("host", INSIDE)
async def test_ssrf_addresses_inside_are_refused(api: Api, admin: Tokens, host: str) -> None:
    response = await api.http.post(HOOKS, json={"url": f"http://{host}/"}, headers=admin.bearer)
    assert error_of(response) == (422, "validation_error")
    assert response.json()["fields"][0]["field"] == "body.url"
    assert host not in response.json()["detail"]
    with pytest.raises(Unreachable, match="address_refused"):
        await resolve(test_settings(), f"http://{host}/")


@pytest.mark.parametrize("url", NO_URL)
async def test_ssrf_what_is_no_plain_address_is_refused(api: Api, admin: Tokens, url: str) -> None:
    response = await api.http.post(HOOKS, json={"url": url}, headers=admin.bearer)
    assert error_of(response) == (422, "validation_error")


async def test_ssrf_a_name_is_judged_by_where_it_leads_now(fresh: Fresh, receiver: Receiver) -> None:
    """A name may be registered before it leads anywhere; what counts is what it is when it is connected to."""
    api = await fresh.api()
    _, admin = await api.as_role("superuser")
    for host in ("localhost", "LOCALHOST"):
        body = {"url": f"http://{host}:{receiver.port}/", "kinds": ["mfa_reset"]}
        created = await api.http.post(HOOKS, json=body, headers=admin.bearer)
        assert created.status_code == 201, created.text
        answer = await api.http.post(f"{HOOKS}/{created.json()['id']}/test", headers=admin.bearer)
        assert (answer.json()["delivered"], answer.json()["error"]) == (False, "address_refused")
    assert receiver.connections == 0
    unknown = {"url": "https://hooks.invalid/", "kinds": ["mfa_reset"]}
    created = await api.http.post(HOOKS, json=unknown, headers=admin.bearer)
    answer = await api.http.post(f"{HOOKS}/{created.json()['id']}/test", headers=admin.bearer)
    assert answer.json()["error"] == "name_not_found"


async def test_ssrf_a_second_look_up_is_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says something else the second time changes nothing (DNS rebinding)."""
    answers = iter(["127.0.0.1"])
    asked = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == b"rebinding.example" and not kwargs.get("flags"):
            host = next(answers)  # a second question would raise
        return asked(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    settings = test_settings(webhook_private_networks=LOOPBACK)
    async with Sender(settings, await trusted(), f"http://rebinding.example:{receiver.port}/") as sender:
        assert (await sender.post({"webhook-id": "1"}, b"{}")).status == 204
        assert (await sender.post({"webhook-id": "2"}, b"{}")).status == 204
    assert receiver.arrived[0].headers["host"] == f"rebinding.example:{receiver.port}"


async def test_ssrf_one_address_inside_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != b"mixed.example" or kwargs.get("flags"):
            return asked(host, port, *args, **kwargs)
        return asked("8.8.8.8", port, *args, **kwargs) + asked("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(Unreachable, match="address_refused"):
        await resolve(test_settings(), "http://mixed.example/")


async def test_ssrf_redirects_are_not_followed(receiver: Receiver) -> None:
    async with receiving() as inside:
        receiver.status, receiver.more = 302, f"Location: {inside.url}\r\n"
        async with Sender(test_settings(webhook_private_networks=LOOPBACK), await trusted(), receiver.url) as sender:
            answer = await sender.post({"webhook-id": "1"}, b"{}")
        assert (answer.delivered, answer.status) == (False, 302)
        assert inside.connections == 0


async def test_ssrf_production_takes_https_only(fresh: Fresh) -> None:
    production = test_settings().model_copy(update={"app_env": Environment.PRODUCTION})
    with pytest.raises(Unreachable, match="https_required"):
        await resolve(production, "http://hooks.invalid/")


async def test_ssrf_metadata_is_refused_in_listed_networks_too() -> None:
    settings = test_settings(webhook_private_networks=("169.254.0.0/16", "10.0.0.0/8", "fd00::/8"))
    for host in ("169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"):
        with pytest.raises(Unreachable, match="address_refused"):
            await resolve(settings, f"http://{host}/")
    assert await resolve(settings, "http://10.1.2.3/") == ["10.1.2.3"]
    assert await resolve(settings, "http://8.8.8.8/") == ["8.8.8.8"]
    assert await resolve(settings, "http://[2606:4700::1111]/") == ["2606:4700::1111"]


async def test_answers_are_read_so_far_and_no_longer(receiver: Receiver) -> None:
    receiver.status, receiver.answer = 200, b"x" * (64 * MOST_READ)
    async with Sender(test_settings(webhook_private_networks=LOOPBACK), await trusted(), receiver.url) as sender:
        assert (await sender.post({"webhook-id": "1"}, b"{}")).delivered
        assert (await sender.post({"webhook-id": "2"}, b"{}")).delivered
    assert receiver.connections == 2


async def test_a_receiver_that_is_silent_or_not_there_is_told_from_one_another(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_service.webhooks.sender.TIMEOUT_SECONDS", 0.3)
    settings, tls = test_settings(webhook_private_networks=LOOPBACK), await trusted()
    receiver.seconds = 3600
    async with Sender(settings, tls, receiver.url) as sender:
        assert (await sender.post({}, b"{}")).error == "timeout"
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        async with Sender(settings, tls, f"http://127.0.0.1:{bound.getsockname()[1]}/") as sender:
            assert (await sender.post({}, b"{}")).error == "connection_failed"


def certificate(folder: Path, name: str) -> Path:
    """A self-signed one with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def test_tls_is_verified_for_the_name_and_not_for_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = certificate(tmp_path, "localhost")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(own)
    settings = test_settings(webhook_private_networks=("127.0.0.0/8", "::1/128"))
    async with receiving(server) as receiver:
        named, numbered = (f"https://{host}:{receiver.port}/" for host in ("localhost", "127.0.0.1"))
        async with Sender(settings, await trusted(), named) as sender:
            assert (await sender.post({"webhook-id": "1"}, b"{}")).error == "tls_failed"
        monkeypatch.setenv("SSL_CERT_FILE", str(own))
        async with Sender(settings, await trusted(), named) as sender:
            assert (await sender.post({"webhook-id": "1"}, b"{}")).status == 204
        async with Sender(settings, await trusted(), numbered) as sender:
            assert (await sender.post({"webhook-id": "1"}, b"{}")).error == "tls_failed"
