"""Secrets are written down only sealed, and shown only to whoever asks for that one thing."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrun.emulator import Emulator, EmulatorError
from agentrun.emulator.vault import MASK, Vault, VaultError, at_paths
from tests.canary import MARK, canary
from tests.emulator import bodies
from tests.emulator.signed import CREDENTIALS, MODEL_SERVICES, RUNTIMES, Account, account_of, client_of, refusal

CANARY = MARK
SECRETS = tuple(canary(what) for what in ("secret", "password", "auth", "api", "environment"))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Emulator, Account]]:
    """An emulator with a state directory, and an account in it."""
    with Emulator(state=tmp_path / "state") as emulator, client_of(emulator) as client:
        yield emulator, account_of(emulator, client, "mine")


def fill(account: Account) -> str:
    """Send every kind of secret; returns the id of the runtime."""
    secret, password, auth, api, environment = SECRETS
    public = {"users": [{"username": "u", "password": password}], "authConfig": {"token": auth}}
    account.done("POST", CREDENTIALS, bodies.credential(credentialSecret=secret, credentialPublicConfig=public))
    account.done("PUT", f"{CREDENTIALS}/key", {"description": "changed"})
    settings = {"baseUrl": "http://127.0.0.1:1", "apiKey": api}
    account.done("POST", MODEL_SERVICES, bodies.model_service(providerSettings=settings))
    account.done("PUT", f"{MODEL_SERVICES}/model", {"description": "changed"})
    runtime = account.done("POST", RUNTIMES, bodies.runtime(environmentVariables={"TOKEN": environment}))
    runtime_id: str = runtime["agentRuntimeId"]
    return runtime_id


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder; what is moved away in the meantime is passed over."""
    found: dict[Path, bytes] = {}
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.read_bytes()
    return found


def test_no_secret_is_in_the_state(kept: tuple[Emulator, Account], tmp_path: Path) -> None:
    runtime = fill(kept[1])
    found = contents(tmp_path / "state")
    assert {"emulator.db", "emulator.db-wal", "vault.key"} <= {path.name for path in found}
    assert [path for path, content in found.items() if CANARY.encode() in content] == []
    kept[1].call("DELETE", f"{RUNTIMES}/{runtime}")


def test_a_get_shows_them_and_a_list_does_not(kept: tuple[Emulator, Account]) -> None:
    account = kept[1]
    fill(account)
    secret, password, auth, api, environment = SECRETS
    shown = account.done("GET", f"{CREDENTIALS}/key")
    assert shown["credentialSecret"] == secret
    assert shown["credentialPublicConfig"]["users"] == [{"username": "u", "password": password}]
    assert shown["credentialPublicConfig"]["authConfig"] == {"token": auth}
    assert account.done("GET", f"{MODEL_SERVICES}/model")["providerSettings"]["apiKey"] == api
    listed = account.done("GET", RUNTIMES)["items"][0]
    assert listed["environmentVariables"] == {"TOKEN": MASK}
    whole = account.done("GET", f"{RUNTIMES}/{listed['agentRuntimeId']}")
    assert whole["environmentVariables"] == {"TOKEN": environment}
    assert account.done("GET", MODEL_SERVICES)["items"][0]["providerSettings"]["apiKey"] == MASK
    for path in (CREDENTIALS, MODEL_SERVICES, RUNTIMES):
        assert CANARY not in account.call("GET", path).text


def test_no_secret_is_in_journal_logs_or_errors(
    kept: tuple[Emulator, Account], caplog: pytest.LogCaptureFixture
) -> None:
    emulator, account = kept
    with caplog.at_level(logging.DEBUG):
        fill(account)
        secret = SECRETS[0]
        refusals = [
            account.call("POST", CREDENTIALS, bodies.credential(credentialSecret=secret)),
            account.call("POST", CREDENTIALS, bodies.credential("b", credentialSecret=[secret])),
            account.call("POST", CREDENTIALS, bodies.credential("b", secret=secret)),
            account.call("POST", CREDENTIALS, bodies.credential("b", credentialPublicConfig=secret)),
            account.call("POST", MODEL_SERVICES, bodies.model_service("b", providerSettings={"apikey": secret})),
            account.client.send(account.control_request("POST", CREDENTIALS, content=f'{{"a": "{secret}'.encode())),
        ]
    assert [answer.status_code for answer in refusals] == [409, 400, 400, 400, 400, 400]
    assert CANARY not in "".join(answer.text for answer in refusals)
    assert CANARY not in str(emulator.journal.entries())
    assert CANARY not in caplog.text
    assert account.secret not in caplog.text + str(emulator.journal.entries())


def test_the_key_is_its_owners_alone(kept: tuple[Emulator, Account], tmp_path: Path) -> None:
    key = tmp_path / "state" / "vault.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert [path.name for path in key.parent.glob("vault*")] == ["vault.key"]


def test_another_key_is_told(tmp_path: Path) -> None:
    with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
        account_of(emulator, client, "mine").done("POST", CREDENTIALS, bodies.credential())
    (tmp_path / "vault.key").write_bytes(bytes(32))
    with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
        answer = account_of(emulator, client, "mine").call("GET", f"{CREDENTIALS}/key")
        assert "sealed with another key; put back the vault.key" in refusal(answer, 500)


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_broken_key_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vault.key").write_bytes(content)
    with pytest.raises(EmulatorError, match=r"vault\.key is not a key of 32 bytes; put back"):
        Emulator(state=tmp_path).start()


@pytest.mark.parametrize("secret", ["", "x", "é中🎉", "a" * 100_000])
def test_sealing_is_undone_by_opening(secret: str) -> None:
    vault = Vault()
    sealed = vault.seal(secret)
    assert vault.open(sealed) == secret
    assert sealed != vault.seal(secret), "equal secrets must not look equal"
    with pytest.raises(VaultError):
        Vault().open(sealed)


def test_a_secret_that_looks_sealed_is_kept(account: Account) -> None:
    for secret in ("sealed:v1:", "sealed:v1:AAAA", MASK):
        account.done("POST", CREDENTIALS, bodies.credential(credentialSecret=secret))
        assert account.done("GET", f"{CREDENTIALS}/key")["credentialSecret"] == secret
        account.done("DELETE", f"{CREDENTIALS}/key")


def test_what_lies_at_a_path_is_changed() -> None:
    document = {"a": {"b": ["x", {"c": "y"}], "n": 1}, "s": "t", "none": None}
    changed = at_paths(document, ("a.b", "s", "none.x", "missing.y", "a.n"), str.upper)
    assert changed == {"a": {"b": ["X", {"c": "Y"}], "n": 1}, "s": "T", "none": None}
    assert document["s"] == "t"
