"""Credentials in the environment of agents: the secret itself where that was asked for, else a placeholder."""

from __future__ import annotations

from typing import Any

from tests.emulator import bodies
from tests.emulator.agents import deployed, settled
from tests.emulator.signed import CREDENTIALS, RUNTIMES, Account

SECRET = "the real secret of an agent"
ENVIRONMENT = "/agent-runtimes/agent/endpoints/Default/invocations/environment"


# What an update must say again.
SIZE = {"cpu": 2.0, "memory": 4096, "port": 9000}


def credential(account: Account, name: str, secret: str = SECRET, *hosts: str) -> None:
    body = bodies.credential(name, credentialSecret=secret, credentialPublicConfig={"allowedHosts": list(hosts)})
    account.done("POST", CREDENTIALS, body)


def environment(account: Account) -> dict[str, Any]:
    found: dict[str, Any] = account.data("GET", ENVIRONMENT).json()
    return found


def test_the_secret_or_a_placeholder_by_what_was_written(account: Account) -> None:
    credential(account, "api", SECRET, "api.example.com")
    variables = {
        "VALUE": "${credential:api}",
        "LINE": "Bearer ${placeholder:api}",
        "BOTH": "${credential:api:secret} ${placeholder:api:secret}",
        "OTHER": "${HOME} ${credential}",
    }
    path = deployed(account, environmentVariables=variables)
    assert account.done("GET", path)["status"] == "READY"
    inside = environment(account)
    placeholder = inside["LINE"].removeprefix("Bearer ")
    assert placeholder.startswith("agentrun-placeholder-")
    assert (inside["VALUE"], inside["BOTH"]) == (SECRET, f"{SECRET} {placeholder}")
    assert inside["OTHER"] == "${HOME} ${credential}"
    assert inside["SSL_CERT_FILE"] == "/run/agentrun/egress/certificates.pem"
    shown = account.done("GET", path)
    assert shown["environmentVariables"] == variables
    account.done("DELETE", path)


def test_a_secret_that_was_changed_is_there_in_a_new_process(account: Account) -> None:
    credential(account, "api")
    path = deployed(account, environmentVariables={"VALUE": "${credential:api}"})
    account.done("PUT", f"{CREDENTIALS}/api", {"credentialSecret": "another secret"})
    assert environment(account)["VALUE"] == SECRET
    account.done("PUT", path, {**SIZE, "description": "started anew"})
    assert settled(account, path)["status"] == "READY"
    assert environment(account)["VALUE"] == "another secret"
    account.done("DELETE", path)


def test_what_cannot_be_given_is_told_by_the_runtime(account: Account) -> None:
    credential(account, "anywhere")
    credential(account, "off", SECRET, "api.example.com")
    account.done("PUT", f"{CREDENTIALS}/off", {"enabled": False})
    reasons = {
        "${credential:missing}": "credential 'missing' cannot be used: it does not exist",
        "${credential:off}": "credential 'off' cannot be used: it is disabled",
        "${placeholder:off}": "credential 'off' cannot be used: it is disabled",
        "${placeholder:anywhere}": "names no hosts",
        "${credential:anywhere:password}": "has the parts secret; not password",
    }
    for text, why in reasons.items():
        path = deployed(account, environmentVariables={"KEY": text})
        shown = account.done("GET", path)
        assert shown["status"] == "CREATE_FAILED"
        assert why in shown["statusReason"]
        assert SECRET not in shown["statusReason"]
        account.done("DELETE", path)
    assert account.done("GET", RUNTIMES)["items"] == []
