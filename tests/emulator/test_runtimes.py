"""Agent runtimes, versions and endpoints on the control plane; what runs is in test_runtimes_run.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.emulator import bodies
from tests.emulator.signed import RUNTIMES, Account


def created(account: Account, name: str = "agent", **changes: Any) -> str:
    """A runtime that never becomes ready; returns its path."""
    return f"{RUNTIMES}/{account.done('POST', RUNTIMES, bodies.runtime(name, **changes))['agentRuntimeId']}"


def test_a_runtime_as_the_service_shows_it(account: Account) -> None:
    made = account.done("POST", RUNTIMES, bodies.runtime())
    assert made["status"] == "CREATING"
    assert made["agentRuntimeId"].startswith("ar-")
    assert made["agentRuntimeArn"].endswith(f":runtimes/{made['agentRuntimeId']}")
    expected: dict[str, Any] = {
        "agentRuntimeName": "agent",
        "agentRuntimeVersion": "LATEST",
        "artifactType": "Code",
        "cpu": 2.0,
        "memory": 4096,
        "port": 9000,
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "sessionConcurrencyLimitPerInstance": 1,
    }
    assert {name: made.get(name) for name in expected} == expected
    absent = ("environmentVariables", "executionRoleArn", "healthCheckConfiguration", "protocolConfiguration")
    assert [name for name in (*absent, "containerConfiguration", "owner", "package") if name in made] == []
    assert made["codeConfiguration"].keys() == {"checksum", "command", "language"}
    account.done("DELETE", f"{RUNTIMES}/{made['agentRuntimeId']}")


@pytest.mark.parametrize(
    ("status", "changes", "message"),
    [
        (400, {"artifactType": "Magic"}, "artifactType must be one of Code, Container, not Magic"),
        (501, {"artifactType": "Container", "containerConfiguration": {"image": "x"}}, "need the docker backend"),
        (400, {"port": 0}, "port must be from 1 to 65535, not 0"),
        (400, {"port": 65536}, "port must be from 1 to 65535, not 65536"),
        (400, {"port": "9000"}, "port must be an integer, not str"),
        (400, {"agentRuntimeName": " "}, "agentRuntimeName must have 1 to 128 characters"),
        (400, {"agentRuntimename": "x"}, "did you mean agentRuntimeName?"),
    ],
    ids=str,
)
def test_runtimes_that_are_refused(account: Account, status: int, changes: dict[str, Any], message: str) -> None:
    assert message in account.refused(status, "POST", RUNTIMES, bodies.runtime(**changes))
    assert account.done("GET", RUNTIMES)["total"] == 0


def test_a_name_is_taken_once_in_an_account(account: Account) -> None:
    path = created(account)
    assert "agent runtime agent already exists" in account.refused(409, "POST", RUNTIMES, bodies.runtime())
    other = replace(account, key=f"{account.key}-other")
    other.done("DELETE", created(other))
    account.done("DELETE", path)
    assert "does not exist" in account.refused(404, "GET", path)
    assert "does not exist" in account.refused(404, "DELETE", path)
    account.done("DELETE", created(account))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_runtime(account: Account, method: str) -> None:
    body = {"cpu": 2} if method == "PUT" else None
    assert "agent runtime ar-0 does not exist" in account.refused(404, method, f"{RUNTIMES}/ar-0", body)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "endpoints", None),
        ("POST", "endpoints", {}),
        ("GET", "endpoints/e", None),
        ("PUT", "endpoints/e", {}),
        ("DELETE", "endpoints/e", None),
        ("GET", "versions", None),
        ("POST", "versions", {}),
    ],
)
def test_nothing_is_below_an_unknown_runtime(account: Account, method: str, path: str, body: Any) -> None:
    assert "agent runtime ar-0 does not exist" in account.refused(404, method, f"{RUNTIMES}/ar-0/{path}", body)


def test_filters_of_runtimes(account: Account) -> None:
    paths = [created(account, name, systemTags=["x", name]) for name in ("alpha", "alphabet", "be_ta", "beXta")]

    def names(**query: str) -> list[str]:
        return [item["agentRuntimeName"] for item in account.done("GET", RUNTIMES, **query)["items"]]

    assert names(agentRuntimeName="alpha") == ["alpha", "alphabet"]
    assert names(agentRuntimeName="alpha", searchMode="exact") == ["alpha"]
    assert names(agentRuntimeName="alpha", searchMode="prefix") == ["alpha", "alphabet"]
    assert names(agentRuntimeName="bet", searchMode="fuzzy") == ["alphabet"]
    assert names(agentRuntimeName="be_") == ["be_ta"]
    assert names(agentRuntimeName="%") == []
    assert names(systemTags="x") == ["alpha", "alphabet", "be_ta", "beXta"]
    assert names(systemTags="x,alpha") == ["alpha"]
    assert names(status="CREATING", pageSize="1", pageNumber="2") == ["alphabet"]
    assert "searchMode must be exact, prefix or fuzzy" in account.refused(
        400, "GET", RUNTIMES, agentRuntimeName="a", searchMode="magic"
    )
    for path in paths:
        account.done("DELETE", path)


def test_only_a_ready_runtime_is_changed_or_published(account: Account) -> None:
    path = created(account)
    assert "is CREATING; wait until it is READY" in account.refused(409, "PUT", path, {"cpu": 4})
    assert "is CREATING; only a READY one can be published" in account.refused(409, "POST", f"{path}/versions", {})
    account.done("DELETE", path)


def test_the_life_of_an_endpoint(account: Account) -> None:
    path = created(account)
    runtime_id = path.rpartition("/")[2]
    made = account.done("POST", f"{path}/endpoints", {"agentRuntimeEndpointName": "a/b", "description": "x"})
    assert made["status"] == "CREATING"
    assert (made["agentRuntimeId"], made["targetVersion"]) == (runtime_id, "LATEST")
    assert made["endpointPublicUrl"].endswith("/agent-runtimes/agent/endpoints/a%2Fb/invocations")
    endpoint = f"{path}/endpoints/{made['agentRuntimeEndpointId']}"
    shown = account.done("GET", endpoint)
    assert shown == {**made, "status": "READY"}
    assert account.done("GET", f"{path}/endpoints")["items"] == [shown]
    assert account.done("GET", f"{path}/endpoints", endpointName="other")["items"] == []
    changed = account.done("PUT", endpoint, {"agentRuntimeEndpointName": "c", "description": "y"})
    assert (changed["status"], changed["description"]) == ("UPDATING", "y")
    assert account.done("GET", endpoint)["endpointPublicUrl"].endswith("/endpoints/c/invocations")
    assert account.done("DELETE", endpoint)["status"] == "DELETING"
    assert account.done("GET", f"{path}/endpoints")["items"] == []
    assert "does not exist" in account.refused(404, "DELETE", endpoint)
    account.done("DELETE", path)


def test_an_endpoint_is_called_default_unless_it_is_named(account: Account) -> None:
    path = created(account)
    assert account.done("POST", f"{path}/endpoints", {})["agentRuntimeEndpointName"] == "Default"
    assert "already exists" in account.refused(409, "POST", f"{path}/endpoints", {})
    other = account.done("POST", f"{path}/endpoints", {"agentRuntimeEndpointName": "other"})
    taken = {"agentRuntimeEndpointName": "Default"}
    account.done("GET", f"{path}/endpoints")
    assert "already exists" in account.refused(409, "PUT", f"{path}/endpoints/{other['agentRuntimeEndpointId']}", taken)
    account.done("DELETE", path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"targetVersion": "7"}, "version 7 of agent was not published; publish it or use LATEST"),
        ({"routingConfiguration": {"versionWeights": [{"version": "7", "weight": 0.1}]}}, "was not published"),
        ({"routingConfiguration": {"versionWeights": [{"version": "LATEST", "weight": -0.1}]}}, "LATEST is negative"),
        ({"routingConfiguration": {"versionWeights": [{"weight": 0.1}]}}, "each entry needs a version"),
        ({"routingConfiguration": {"versionWeights": [{"version": "1", "weight": "x"}]}}, "weight must be a number"),
        ({"agentRuntimeEndpointName": "x" * 129}, "agentRuntimeEndpointName must have 1 to 128"),
    ],
    ids=str,
)
def test_endpoints_that_are_refused(account: Account, body: dict[str, Any], message: str) -> None:
    path = created(account)
    assert message in account.refused(400, "POST", f"{path}/endpoints", body)
    endpoint = account.done("POST", f"{path}/endpoints", {})["agentRuntimeEndpointId"]
    account.done("GET", f"{path}/endpoints")
    assert message in account.refused(400, "PUT", f"{path}/endpoints/{endpoint}", body)
    account.done("DELETE", path)


def test_an_endpoint_belongs_to_its_runtime(account: Account) -> None:
    one, two = created(account, "one"), created(account, "two")
    endpoint = account.done("POST", f"{one}/endpoints", {})["agentRuntimeEndpointId"]
    assert "does not exist" in account.refused(404, "GET", f"{two}/endpoints/{endpoint}")
    account.done("POST", f"{two}/endpoints", {})
    account.done("DELETE", one)
    assert "does not exist" in account.refused(404, "GET", f"{one}/endpoints/{endpoint}")
    assert account.done("GET", f"{two}/endpoints")["total"] == 1
    account.done("DELETE", two)
