"""Agent runtimes that really run: started, called through the gateway, crashed, changed, divided and gone."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from agentrun._core.local import account_id
from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.agents import agent, deployed, settled, wait_until
from tests.emulator.signed import CREDENTIALS, RUNTIMES, Account, account_of, client_of, refusal

CALL = "/agent-runtimes/agent/endpoints/Default/invocations"


@pytest.fixture(scope="module")
def shared(emulator: Emulator, client: httpx.Client) -> Iterator[Account]:
    """An account with a running agent, for tests that do it no harm."""
    account = account_of(emulator, client)
    path = deployed(account, environmentVariables={"GREETING": "hello"})
    assert account.done("GET", path)["status"] == "READY"
    yield account
    account.done("DELETE", path)


@pytest.fixture
def own() -> Iterator[tuple[Emulator, Account]]:
    """An emulator and an account in it for tests that do harm."""
    with Emulator() as emulator, client_of(emulator) as client:
        yield emulator, account_of(emulator, client)


def failed(account: Account, **changes: Any) -> str:
    """The reason why a runtime cannot be created."""
    path = deployed(account, **changes)
    shown = account.done("GET", path)
    assert shown["status"] == "CREATE_FAILED", shown
    reason: str = shown["statusReason"]
    return reason


def code(archive: bytes, *command: str) -> dict[str, Any]:
    return bodies.code(archive, command=list(command))


# Calls


def test_a_call_reaches_the_agent(shared: Account) -> None:
    answer = shared.data("GET", f"{CALL}/some/path%2Fhere", a="b c")
    assert answer.json()["path"] == "/some/path%2Fhere?a=b+c"
    assert answer.headers["x-agent"] == "here"
    assert answer.headers["x-acs-request-id"]


def test_a_body_and_headers_reach_the_agent(shared: Account) -> None:
    content = json.dumps({"messages": ["é" * 2**20]}).encode()
    request = shared.data_request("POST", f"{CALL}/x", content=content)
    request.headers["x-mine"] = "yes"
    request.headers["content-type"] = "application/json"
    answer = shared.client.send(request)
    assert answer.status_code == 201
    seen = answer.json()
    assert seen["size"] == len(content)
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["x-mine"] == "yes"
    assert headers["x-agentrun-request-id"] == answer.headers["x-acs-request-id"]
    assert [name for name in headers if name.startswith(("agentrun-auth", "x-acs-"))] == []


def test_an_agent_has_its_environment_and_no_secret_of_ours(emulator: Emulator, shared: Account) -> None:
    environment = shared.data("GET", f"{CALL}/environment").json()
    assert environment["GREETING"] == "hello"
    assert environment["PORT"] == "9000"
    assert environment["AGENTRUN_ACCOUNT_ID"] == account_id(shared.key)
    assert environment["AGENTRUN_CONTROL_ENDPOINT"] == f"http://127.0.0.1:{emulator.port}"
    assert environment["AGENTRUN_ACCESS_KEY_ID"] == f"STS.{shared.key}"
    assert shared.secret not in environment.values()
    inside = Account(
        shared.client,
        environment["AGENTRUN_ACCESS_KEY_ID"],
        environment["AGENTRUN_ACCESS_KEY_SECRET"],
        environment["AGENTRUN_SECURITY_TOKEN"],
    )
    assert inside.done("GET", RUNTIMES)["total"] == 1


def test_an_access_token_calls_the_agent(shared: Account) -> None:
    query = {"resourceType": "runtime", "resourceName": "agent"}
    token = shared.done("GET", "/2025-09-10/agents/accessToken", **query)["accessToken"]
    answer = shared.client.get(f"{CALL}/x", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["path"] == "/x"


def test_a_stream_arrives_piece_by_piece(shared: Account) -> None:
    delays: list[float] = []
    with shared.client.stream(
        "GET", f"{CALL}/stream", headers=shared.data_request("GET", f"{CALL}/stream").headers
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        for line in answer.iter_lines():
            if line:
                delays.append(time.time() - float(line.split()[2]))
            if len(delays) == 30:
                break
    assert sorted(delays)[15] < 0.02
    assert max(delays) < 0.3


def test_a_caller_that_leaves_is_gone_for_the_agent_too(emulator: Emulator, shared: Account) -> None:
    before = len(shared.data("GET", f"{CALL}/gone").json()["gone"])
    with httpx.Client(base_url=emulator.url, trust_env=False) as client:
        request = shared.data_request("GET", f"{CALL}/stream")
        answer = client.send(request, stream=True)
        pieces = answer.iter_bytes()
        next(pieces)
        # The iterator is still there: to drop it would close the answer already.
        left = time.time()
        answer.close()

    def since() -> list[float]:
        # Callers of other tests may have been found to be gone in the meantime.
        return [moment for moment in shared.data("GET", f"{CALL}/gone").json()["gone"][before:] if moment >= left]

    assert wait_until(since, 3)[0] - left < 1


def test_many_call_at_once(shared: Account) -> None:
    def call(number: int) -> httpx.Response:
        return shared.data("GET", f"{CALL}/{number}")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, range(100)))
    assert [answer.json()["path"] for answer in answers] == [f"/{number}" for number in range(100)]


def test_calls_that_lead_nowhere(shared: Account) -> None:
    assert "agent runtime absent does not exist" in refusal(
        shared.data("GET", "/agent-runtimes/absent/endpoints/Default/invocations"), 404
    )
    assert "agent runtime endpoint absent of agent does not exist" in refusal(
        shared.data("GET", "/agent-runtimes/agent/endpoints/absent/invocations"), 404
    )
    refusal(shared.data("GET", "/agent-runtimes/agent/endpoints/Default"), 404)
    refusal(shared.data("GET", "/agent-runtimes/agent/elsewhere/Default/invocations"), 404)


def test_nobody_else_can_call_it(emulator: Emulator, shared: Account, account: Account) -> None:
    assert "does not exist" in refusal(account.data("GET", CALL), 404)


def test_logs_can_be_read(shared: Account) -> None:
    lines = shared.data("GET", "/agent-runtimes/agent/endpoints/Default/logs").json()["lines"]
    assert lines == ["serving 1"]
    assert shared.data("GET", "/agent-runtimes/agent/endpoints/Default/logs", tail="0").json()["lines"] == []
    for wrong in ("-1", "²", "many"):
        refused = shared.data("GET", "/agent-runtimes/agent/endpoints/Default/logs", tail=wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, "ERR_VALIDATION_FAILED")


# Starting and failing


def test_a_runtime_becomes_ready_later_than_it_was_created(shared: Account) -> None:
    item = shared.done("GET", RUNTIMES)["items"][0]
    assert item["status"] == "READY"
    assert item["lastUpdatedAt"] > item["createdAt"]


@pytest.mark.parametrize(
    ("main", "words"),
    [
        ("import sys; print('no key given', file=sys.stderr); sys.exit(4)", ("exited with code 4", "no key given")),
        ("raise ValueError('broken agent')", ("exited with code 1", "ValueError: broken agent")),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", ("SIGTERM",)),
    ],
)
def test_a_command_that_ends_tells_why(account: Account, main: str, words: tuple[str, ...]) -> None:
    reason = failed(account, codeConfiguration=code(bodies.zipped({"main.py": main}), "python3", "main.py"))
    assert [word for word in words if word not in reason] == []
    assert reason in refusal(account.data("GET", CALL), 409)


def test_a_command_that_is_not_there_tells_so(account: Account) -> None:
    assert "no-such-program" in failed(account, codeConfiguration=code(agent(), "no-such-program"))


def test_a_failed_runtime_can_be_mended(account: Account) -> None:
    path = deployed(account, codeConfiguration=code(bodies.zipped({"main.py": "1/0"}), "python3", "main.py"))
    assert account.done("GET", path)["status"] == "CREATE_FAILED"
    changed = account.done("PUT", path, {"cpu": 2, "codeConfiguration": code(agent("2"), "python3", "main.py")})
    assert changed["status"] == "UPDATING"
    shown = settled(account, path)
    assert shown["status"] == "READY"
    assert "statusReason" not in shown
    assert account.data("GET", f"{CALL}/x").json()["version"] == "2"
    account.done("DELETE", path)


def test_the_health_check_decides(account: Account) -> None:
    path = deployed(account, healthCheckConfiguration={"httpGetUrl": "/health"})
    assert account.done("GET", path)["status"] == "READY"
    account.done("DELETE", path)


def test_a_call_waits_for_an_agent_that_is_coming_up(account: Account) -> None:
    made = account.done("POST", RUNTIMES, bodies.runtime("agent", agent()))
    assert made["status"] == "CREATING"
    assert account.data("GET", f"{CALL}/early").json()["path"] == "/early"
    account.done("DELETE", f"{RUNTIMES}/{made['agentRuntimeId']}")


# Crash, update, delete


def test_a_crash_is_told_and_mended(account: Account) -> None:
    path = deployed(account)
    assert "closed the connection without an answer" in refusal(account.data("GET", f"{CALL}/crash"), 502)
    wait_until(lambda: "exit code 3" in account.done("GET", path).get("statusReason", ""), 3)

    def answered() -> Any:
        answer = account.data("GET", CALL)
        return answer.json() if answer.status_code == 200 else None

    assert wait_until(answered)["version"] == "1"
    assert account.done("GET", path)["status"] == "READY"
    assert "statusReason" not in account.done("GET", path)
    lines = account.data("GET", "/agent-runtimes/agent/endpoints/Default/logs").json()["lines"]
    assert lines == ["serving 1", "serving 1"]
    account.done("DELETE", path)


def test_an_update_starts_the_new_code(account: Account) -> None:
    path = deployed(account)
    changed = account.done("PUT", path, {"cpu": 2, "codeConfiguration": {"zipFile": code(agent("2"))["zipFile"]}})
    assert changed["status"] == "UPDATING"
    assert settled(account, path)["status"] == "READY"
    assert account.data("GET", CALL).json()["version"] == "2"
    account.done("PUT", path, {"cpu": 2, "environmentVariables": {"NEW": "x"}})
    settled(account, path)
    assert account.data("GET", f"{CALL}/environment").json()["NEW"] == "x"
    account.done("DELETE", path)


def test_an_update_that_breaks_it_says_so(account: Account) -> None:
    path = deployed(account)
    broken = code(bodies.zipped({"main.py": "raise SystemExit('badly changed')"}), "python3", "main.py")
    account.done("PUT", path, {"cpu": 2, "codeConfiguration": broken})
    shown = settled(account, path)
    assert shown["status"] == "UPDATE_FAILED"
    assert "badly changed" in shown["statusReason"]
    account.done("DELETE", path)


def test_a_container_configuration_changes_no_code(account: Account) -> None:
    path = deployed(account)
    account.done("PUT", path, {"cpu": 2, "containerConfiguration": {"image": "x"}, "artifactType": "Container"})
    shown = settled(account, path)
    assert (shown["artifactType"], shown["containerConfiguration"], shown["status"]) == (
        "Code",
        {"image": "x"},
        "READY",
    )
    assert shown["codeConfiguration"]["command"] == ["python3", "main.py"]
    account.done("DELETE", path)


def test_a_new_name_is_where_it_is_called(account: Account) -> None:
    path = deployed(account)
    account.done("PUT", path, {"cpu": 2, "agentRuntimeName": "renamed"})
    assert settled(account, path)["agentRuntimeName"] == "renamed"
    renamed = "/agent-runtimes/renamed/endpoints/Default/invocations"
    assert account.data("GET", renamed).json()["version"] == "1"
    refusal(account.data("GET", CALL), 404)
    account.done("DELETE", path)


def test_nothing_is_left_of_a_deleted_runtime(own: tuple[Emulator, Account]) -> None:
    emulator, account = own
    account.call("GET", CREDENTIALS)
    me = psutil.Process()
    before = {process.pid for process in me.children(recursive=True)}
    path = deployed(account)
    began = [process for process in me.children(recursive=True) if process.pid not in before]
    assert began
    account.done("POST", f"{path}/endpoints", {})
    account.done("POST", f"{path}/versions", {})
    assert account.data("GET", CALL).status_code == 200
    assert emulator.platform.instances.count == 1
    assert account.done("DELETE", path)["status"] == "DELETING"
    assert "does not exist" in account.refused(404, "GET", path)
    assert "does not exist" in refusal(account.data("GET", CALL), 404)
    assert psutil.wait_procs(began, timeout=3)[1] == []
    assert emulator.platform.instances.count == 0
    scope = emulator.platform.auth.tenant(account.key).scope
    for kind in ("AgentRuntimeEndpoint", "AgentRuntimeVersion"):
        assert emulator.platform.store.page(scope, kind, parent=path.rpartition("/")[2], limit=1)[1] == 0
    assert [entry.name for entry in (emulator.platform.directory / "run").glob("*") if "egress" not in entry.name] == []


def test_nothing_survives_the_emulator() -> None:
    me = psutil.Process()
    before = {process.pid for process in me.children(recursive=True)}
    with Emulator() as emulator, client_of(emulator) as client:
        account = account_of(emulator, client)
        deployed(account)
        account.done("POST", RUNTIMES, bodies.runtime("coming-up"))
        folder = emulator.platform.directory
        began = [process for process in me.children(recursive=True) if process.pid not in before]
        assert began
    assert psutil.wait_procs(began, timeout=1)[1] == []
    assert not folder.exists()


def test_a_reset_stops_the_agents_of_that_account(own: tuple[Emulator, Account]) -> None:
    emulator, account = own
    other = account_of(emulator, account.client)
    for each in (account, other):
        deployed(each)
    emulator.reset(account.key)
    assert emulator.platform.instances.count == 1
    refusal(account.data("GET", CALL), 404)
    assert other.data("GET", CALL).json()["version"] == "1"


# Versions


def test_requests_are_divided_as_the_weights_say(account: Account) -> None:
    path = deployed(account)
    for version in ("1", "2"):
        code_of = code(agent(version), "python3", "main.py")
        account.done("PUT", path, {"cpu": 2, "codeConfiguration": code_of})
        settled(account, path)
        published = account.done("POST", f"{path}/versions", {"description": f"number {version}"})
        assert (published["agentRuntimeVersion"], published["agentRuntimeName"]) == (version, "agent")
    versions = account.done("GET", f"{path}/versions")
    assert [(item["agentRuntimeVersion"], item["description"]) for item in versions["items"]] == [
        ("1", "number 1"),
        ("2", "number 2"),
    ]
    assert account.done("GET", path, agentRuntimeVersion="1")["agentRuntimeVersion"] == "1"
    assert "agent runtime version 3 of agent does not exist" in account.refused(
        404, "GET", path, agentRuntimeVersion="3"
    )
    routing = {"versionWeights": [{"version": "2", "weight": 0.1}]}
    body = {"agentRuntimeEndpointName": "canary", "targetVersion": "1", "routingConfiguration": routing}
    account.done("POST", f"{path}/endpoints", body)
    called = "/agent-runtimes/agent/endpoints/canary/invocations"
    for _ in range(5):  # To read the logs takes nobody's turn.
        account.data("GET", "/agent-runtimes/agent/endpoints/canary/logs")
    seen = Counter(account.data("GET", called).json()["version"] for _ in range(1000))
    assert seen == {"1": 900, "2": 100}
    account.done("DELETE", path)


def test_a_published_version_keeps_its_code(account: Account) -> None:
    path = deployed(account)
    account.done("POST", f"{path}/versions", {})
    account.done("POST", f"{path}/endpoints", {"targetVersion": "1"})
    account.done("PUT", path, {"cpu": 2, "codeConfiguration": code(agent("2"), "python3", "main.py")})
    settled(account, path)
    assert account.data("GET", CALL).json()["version"] == "1"
    account.done("POST", f"{path}/endpoints", {"agentRuntimeEndpointName": "next"})
    next_call = "/agent-runtimes/agent/endpoints/next/invocations"
    assert account.data("GET", next_call).json()["version"] == "2"
    account.done("DELETE", path)
