"""Certificates of this machine's own: verified by whoever trusts the bundle, private where they must be."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from agentrun.emulator import Emulator, EmulatorError
from agentrun.emulator.tls import Certificates, certificates
from tests.emulator import bodies
from tests.emulator.signed import CREDENTIALS, Account, account_of


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Certificates]]:
    state = tmp_path_factory.mktemp("state")
    with Emulator(state=state, tls=True) as emulator:
        yield emulator, certificates(state / "tls")


def trusting(bundle: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(bundle))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_chain_verifies_with_the_bundle(secure: tuple[Emulator, Certificates], host: str) -> None:
    emulator, files = secure
    url = f"https://{host}:{emulator.port}"
    with httpx.Client(base_url=url, verify=trusting(files.bundle), trust_env=False) as client:
        assert client.get("/_emulator/health").json() == {"status": "ok"}
        account = account_of(emulator, client)
        account.done("POST", CREDENTIALS, bodies.credential())
        assert account.done("GET", CREDENTIALS)["total"] == 1


def test_nobody_else_trusts_it(secure: tuple[Emulator, Certificates]) -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        client.get(f"{secure[0].url}/_emulator/health")


def test_plain_http_is_not_answered(secure: tuple[Emulator, Certificates]) -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.TransportError):
        client.get(f"http://127.0.0.1:{secure[0].port}/_emulator/health")


def test_the_public_authorities_stay_trusted(secure: tuple[Emulator, Certificates]) -> None:
    bundle = secure[1].bundle.read_bytes()
    assert bundle.count(b"BEGIN CERTIFICATE") > 50
    ours = x509.load_pem_x509_certificate(bundle)
    assert "agentrun emulator" in ours.subject.rfc4514_string()
    constraints = ours.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


def test_keys_are_their_owners_alone(secure: tuple[Emulator, Certificates]) -> None:
    files = secure[1]
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert files.key.parent.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in files.key.parent.iterdir()} == {"server.pem", "server.key", "bundle.pem"}
    assert all(b"PRIVATE" not in path.read_bytes() for path in (files.certificate, files.bundle))


def test_everything_points_at_https(secure: tuple[Emulator, Certificates]) -> None:
    emulator, files = secure
    variables = emulator.environment()
    assert variables["SSL_CERT_FILE"] == str(files.bundle)
    url = f"https://localhost:{emulator.port}"
    assert emulator.url == variables["AGENTRUN_CONTROL_ENDPOINT"] == variables["AGENTRUN_DATA_ENDPOINT"] == url
    assert variables["OPENAI_BASE_URL"] == f"{url}/scripted/v1"
    config = emulator.config("mine")
    assert config.get_control_endpoint() == config.get_data_endpoint() == url


def test_they_are_made_once(tmp_path: Path) -> None:
    first = certificates(tmp_path / "tls")
    before = first.certificate.read_bytes()
    assert certificates(tmp_path / "tls") == first
    assert first.certificate.read_bytes() == before


@pytest.mark.parametrize("lost", ["server.pem", "server.key", "bundle.pem"])
def test_a_set_that_is_not_whole_is_made_anew(tmp_path: Path, lost: str) -> None:
    files = certificates(tmp_path / "tls")
    before = files.certificate.read_bytes()
    (tmp_path / "tls" / lost).unlink()
    again = certificates(tmp_path / "tls")
    assert again.certificate.read_bytes() != before
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(again.certificate, again.key)


def test_garbage_in_their_place_is_made_anew(tmp_path: Path) -> None:
    files = certificates(tmp_path / "tls")
    files.certificate.write_text("garbage")
    assert certificates(tmp_path / "tls").certificate.read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a folder of somebody else")
    folder = tmp_path / "state" / "tls"
    folder.mkdir(parents=True)
    os.chown(folder, 12345, 12345)
    with pytest.raises(EmulatorError, match="belongs to another user"):
        Emulator(state=tmp_path / "state", tls=True).start()
    assert list(folder.iterdir()) == []


def test_an_account_needs_its_signature_there_too(secure: tuple[Emulator, Certificates]) -> None:
    with httpx.Client(base_url=secure[0].url, verify=trusting(secure[1].bundle), trust_env=False) as client:
        assert Account(client, "mine", "wrong").call("GET", CREDENTIALS).status_code == 401
