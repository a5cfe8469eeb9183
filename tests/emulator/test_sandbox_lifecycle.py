"""The life of a sandbox from its creation to its end, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentrun._core.run_directory import birth_of
from agentrun.emulator.backends.base import Isolation
from agentrun.emulator.control.call import Call
from agentrun.emulator.control.sandbox_life import exit_text
from agentrun.emulator.wire.envelope import ServiceError
from tests.emulator.sandboxes import ALICE, BOB, PretendedBackend, World

pytestmark = pytest.mark.asyncio


async def world(backend: PretendedBackend | None = None, state: Path | None = None) -> World:
    made = World(backend, state=state)
    made.template()
    return made


async def refused(work: Any, status: int) -> str:
    with pytest.raises(ServiceError) as caught:
        await work
    assert caught.value.status == status, caught.value.message
    return caught.value.message


async def eventually(check: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.001)


def in_use(made: World, sandbox_id: str) -> Any:
    return made.sandboxes.in_use(ALICE.scope, sandbox_id)


# Creation


async def test_a_sandbox_is_shown_the_same_by_every_operation() -> None:
    made = await world()
    created = await made.create(sandboxIdleTimeoutSeconds=60, metadata={"team": "a"})
    assert (created["status"], created["health"], created["metadata"]) == ("READY", "ready", {"team": "a"})
    assert created["isolation"] == {"level": "namespaces+uid+cgroup", "missing": []}
    assert created["network"] == {"mode": "on"}
    assert created["autoResume"] is True
    assert not {"longestLife", "started", "expires", "requestDigest"} & set(created)
    assert await made.do("GET", created["sandboxId"]) == created
    assert (await made.list())["items"] == [created]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"metdata": {}}, "metdata is not a field of CreateSandboxInput: did you mean metadata?"),
        ({"clientTokn": "a"}, "did you mean clientToken?"),
        ({"nasConfig": {"mountPoint": []}}, "nasConfig.mountPoint is not a field of NASConfig"),
        ({"metadata": {"a": 1}}, "metadata.a must be a string, not int"),
        ({"metadata": {"a b": "1"}}, "a metadata key must have"),
        ({"metadata": {"a": "x" * 1025}}, "metadata.a must have at most"),
        ({"metadata": {f"k{number}": "" for number in range(65)}}, "at most 64 entries"),
        ({"sandboxId": "../x"}, "sandboxId must have"),
        ({"clientToken": ""}, "clientToken must have"),
        ({"timeoutSeconds": 0}, "timeoutSeconds must be more than 0"),
        ({"timeoutSeconds": True}, "timeoutSeconds must be a number"),
        ({"sandboxIdleTimeoutSeconds": -1}, "must be more than 0"),
        ({"owner": {}}, "owner.pid is required"),
        ({"owner": {"pid": 2**22 + 1}}, "does not run"),
        ({"owner": {"pid": os.getpid(), "startTime": 1}}, "does not run, or is another one"),
        ({"isolationLevel": "namespace"}, "did you mean namespaces?"),
        ({"network": {}}, "network.mode is required"),
        ({"mounts": [{"source": "/a"}]}, "mounts[0].target is required"),
        ({"mounts": [{"source": "/tmp", "target": "/mnt"}]}, "start it with --mount-root"),
    ],
)
async def test_a_request_is_read_strictly(body: dict[str, Any], message: str) -> None:
    made = await world()
    with pytest.raises(ServiceError) as caught:
        await made.create(**body)
    assert message in caught.value.message
    assert caught.value.status == (403 if "mount-root" in message else 400)
    assert not made.backend.started


async def test_the_control_plane_takes_no_owner() -> None:
    made = await world()
    body = {"templateName": "python", "owner": {"pid": os.getpid()}}
    create = made.sandboxes.handlers()["CreateSandbox"]
    assert "data plane" in await refused(create(Call(ALICE, body=body)), 403)


async def test_the_field_of_the_data_plane_for_tls_is_known() -> None:
    made = await world()
    points = [{"enableTls": True, "serverAddr": "a.nas:/", "mountDir": "/mnt/a"}]
    assert "storage" in await refused(made.create(nasConfig={"mountPoints": points}), 403)


async def test_a_template_must_be_there_and_ready() -> None:
    made = await world()
    made.template("browser", templateType="Browser")
    assert "template none does not exist" in await refused(made.create(templateName="none"), 404)
    assert "Browser is not there yet" in await refused(made.create(templateName="browser"), 501)
    assert "does not exist" in await refused(made.create(BOB), 404)


async def test_a_custom_image_is_what_its_template_says() -> None:
    made = await world()
    container = {"image": "registry.example/a:1", "command": ["serve"], "port": 8080}
    made.template("image", templateType="CustomImage", containerConfiguration=container)
    await made.create(templateName="image")
    image = made.backend.started[0].spec.image
    assert image is not None
    assert (image.name, tuple(image.command), image.port) == ("registry.example/a:1", ("serve",), 8080)
    made.backend.capabilities = frozenset()
    message = await refused(made.create(templateName="image"), 501)
    assert "--backend docker" in message


async def test_what_cannot_start_leaves_nothing() -> None:
    made = await world()
    made.backend.failure = "no such thing"
    assert "no such thing" in await refused(made.create(sandboxId="mine"), 503)
    assert not made.backend.running
    made.backend.failure = None
    assert (await made.create(sandboxId="mine"))["sandboxId"] == "mine"


@pytest.mark.parametrize("reached", ["none", "landlock", "unknown"])
async def test_a_weaker_isolation_than_asked_for_is_refused(reached: str) -> None:
    made = await world(PretendedBackend(isolation=Isolation(reached, ("user namespaces",))))
    message = await refused(made.create(isolationLevel="namespaces"), 503)
    assert f"here {reached} is reached (missing: user namespaces)" in message
    assert "agentrun emulator doctor" in message
    assert not made.backend.started
    assert (await made.create())["isolation"] == {"level": reached, "missing": ["user namespaces"]}


async def test_an_isolation_as_strong_as_asked_for_is_taken() -> None:
    made = await world(PretendedBackend(isolation=Isolation("namespaces")))
    for level in ("none", "landlock", "namespaces"):
        assert (await made.create(isolationLevel=level))["status"] == "READY"
    assert made.backend.started[-1].spec.lowest_level == "namespaces"


# Created once


async def test_one_token_creates_one_sandbox_also_at_once() -> None:
    made = await world()
    answers = await asyncio.gather(*(made.create(clientToken="t", metadata={"a": "1"}) for _ in range(5)))
    assert len(made.backend.started) == 1
    assert all(answer == answers[0] for answer in answers)
    assert await made.create(clientToken="t", metadata={"a": "1"}) == answers[0]
    assert "another request" in await refused(made.create(clientToken="t", metadata={"a": "2"}), 409)
    made.template(tenant=BOB)
    assert (await made.create(BOB, clientToken="t"))["sandboxId"] != answers[0]["sandboxId"]
    await made.do("DELETE", answers[0]["sandboxId"])
    assert (await made.create(clientToken="t"))["sandboxId"] != answers[0]["sandboxId"]


async def test_a_token_outlives_the_emulator(tmp_path: Path) -> None:
    made = await world(state=tmp_path)
    created = await made.create(clientToken="t")
    made.store.close()
    again = World(state=tmp_path)
    again.sandboxes.recover()
    found = await again.create(clientToken="t")
    assert (found["sandboxId"], found["status"]) == (created["sandboxId"], "TERMINATED")
    assert found["endReason"] == "the emulator was restarted"
    assert not again.backend.started


async def test_a_failed_creation_does_not_use_up_its_token() -> None:
    made = await world()
    made.backend.failure = "not now"
    await refused(made.create(clientToken="t"), 503)
    made.backend.failure = None
    assert (await made.create(clientToken="t"))["status"] == "READY"


async def test_one_session_has_one_sandbox_also_at_once() -> None:
    made = await world()
    answers = await asyncio.gather(*(made.create(sessionKey="u1") for _ in range(4)))
    assert sorted(answer["acquired"] for answer in answers) == ["created", "reused", "reused", "reused"]
    assert len({answer["sandboxId"] for answer in answers}) == len(made.backend.started) == 1
    sandbox_id = answers[0]["sandboxId"]
    await made.do("POST", sandbox_id, "pause")
    resumed = await made.create(sessionKey="u1")
    assert (resumed["acquired"], resumed["status"]) == ("resumed", "READY")
    made.template("other")
    assert "of template python, not of other" in await refused(made.create(templateName="other", sessionKey="u1"), 409)
    assert (await made.create(sessionKey="u2"))["sandboxId"] != sandbox_id
    await made.do("POST", sandbox_id, "stop")
    assert (await made.create(sessionKey="u1"))["acquired"] == "created"


async def test_an_id_is_taken_while_its_sandbox_still_starts() -> None:
    made = await world()
    made.backend.may_start.clear()
    first = asyncio.ensure_future(made.create(sandboxId="mine"))
    await eventually(lambda: made.backend.started)
    assert "already exists" in await refused(made.create(sandboxId="mine"), 409)
    made.backend.may_start.set()
    assert (await first)["status"] == "READY"
    assert "already exists" in await refused(made.create(sandboxId="mine"), 409)


@pytest.mark.parametrize("body", [{}, {"clientToken": "t"}, {"sessionKey": "u"}])
async def test_who_goes_away_while_a_sandbox_starts_leaves_nothing(body: dict[str, str]) -> None:
    made = await world()
    made.backend.may_start.clear()
    creation = asyncio.ensure_future(made.create(**body))
    await eventually(lambda: made.backend.started)
    creation.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creation
    await eventually(lambda: not made.backend.running)
    assert (await made.list())["items"] == []
    made.backend.may_start.set()
    assert (await made.create(**body))["status"] == "READY"
    assert len(made.backend.running) == 1


async def test_the_second_of_a_token_creates_when_the_first_went_away() -> None:
    made = await world()
    made.backend.may_start.clear()
    first = asyncio.ensure_future(made.create(clientToken="t"))
    await eventually(lambda: made.backend.started)
    second = asyncio.ensure_future(made.create(clientToken="t"))
    await asyncio.sleep(0)
    first.cancel()
    made.backend.may_start.set()
    assert (await second)["status"] == "READY"
    assert len(made.backend.running) == 1


# Time


async def test_an_idle_sandbox_ends() -> None:
    made = await world()
    sandbox_id = (await made.create(sandboxIdleTimeoutSeconds=60))["sandboxId"]
    made.clock.advance(50)
    async with in_use(made, sandbox_id):
        made.clock.advance(100)
        assert (await made.do("GET", sandbox_id))["status"] == "READY"
    made.clock.advance(59)
    assert (await made.do("GET", sandbox_id))["status"] == "READY"
    made.clock.advance(1)
    ended = await made.do("GET", sandbox_id)
    assert (ended["status"], ended["health"], ended["endReason"]) == ("TERMINATED", "dead", "it was idle for 60 s")
    await eventually(lambda: not made.backend.running)
    with pytest.raises(ServiceError, match=r"is TERMINATED: it was idle for 60 s"):
        async with in_use(made, sandbox_id):
            pass


async def test_the_list_knows_who_is_over() -> None:
    made = await world()
    await made.create(sandboxIdleTimeoutSeconds=60)
    made.clock.advance(61)
    assert [item["status"] for item in (await made.list())["items"]] == ["TERMINATED"]


async def test_the_sweep_ends_what_nobody_asks_for() -> None:
    made = await world()
    sweep = asyncio.ensure_future(made.sandboxes.sweep())
    await made.create(sandboxIdleTimeoutSeconds=60)
    await made.create()
    made.clock.advance(61)
    await eventually(lambda: made.sandboxes.count == 1)
    sweep.cancel()


async def test_a_paused_sandbox_is_not_idle_but_grows_older() -> None:
    made = await world()
    sandbox_id = (await made.create(sandboxIdleTimeoutSeconds=60, timeoutSeconds=1000))["sandboxId"]
    made.clock.advance(50)
    await made.do("POST", sandbox_id, "pause")
    made.clock.advance(500)
    assert (await made.do("GET", sandbox_id))["status"] == "PAUSED"
    await made.do("POST", sandbox_id, "resume")
    made.clock.advance(59)
    assert (await made.do("GET", sandbox_id))["status"] == "READY"
    await made.do("POST", sandbox_id, "pause")
    made.clock.advance(400)
    assert (await made.do("GET", sandbox_id))["endReason"] == "its life of 1000 s was over"


async def test_a_life_is_made_longer_and_shorter() -> None:
    made = await world()
    created = await made.create(sandboxIdleTimeoutSeconds=5000, timeoutSeconds=100)
    sandbox_id = created["sandboxId"]
    made.clock.advance(90)
    changed = await made.do("POST", sandbox_id, "timeout", {"seconds": 1000})
    assert changed["expiresAt"] > created["expiresAt"]
    made.clock.advance(500)
    await made.do("POST", sandbox_id, "timeout", {"seconds": 10})
    made.clock.advance(11)
    assert (await made.do("GET", sandbox_id))["endReason"] == "its life of 600 s was over"


async def test_the_idle_time_is_changed() -> None:
    made = await world()
    sandbox_id = (await made.create(sandboxIdleTimeoutSeconds=60))["sandboxId"]
    assert (await made.do("POST", sandbox_id, "timeout", {"idleSeconds": 10}))["sandboxIdleTimeoutSeconds"] == 10
    made.clock.advance(11)
    assert (await made.do("GET", sandbox_id))["endReason"] == "it was idle for 10 s"


async def test_the_template_says_how_long_a_sandbox_lives() -> None:
    made = await world()
    made.template("short", sandboxTTLInSeconds=30, sandboxIdleTimeoutInSeconds=20)
    created = await made.create(templateName="short")
    assert created["sandboxIdleTimeoutSeconds"] == 20
    async with in_use(made, created["sandboxId"]):
        made.clock.advance(31)
        assert (await made.do("GET", created["sandboxId"]))["endReason"] == "its life of 30 s was over"


@pytest.mark.parametrize("body", [{}, {"seconds": 0}, {"second": 1}, {"seconds": "1"}, {"idleSeconds": 1e9}])
async def test_times_that_cannot_be(body: dict[str, Any]) -> None:
    made = await world()
    sandbox_id = (await made.create())["sandboxId"]
    assert "econds" in await refused(made.do("POST", sandbox_id, "timeout", body), 400)


async def test_a_thousand_idle_sandboxes_cost_nothing() -> None:
    made = await world()
    for _ in range(1000):
        await made.create()
    began = time.process_time()
    for _ in range(1000):
        made.sandboxes._live.end_due()  # pyright: ignore[reportPrivateUsage]
    assert time.process_time() - began < 0.05


# Pausing


async def test_traffic_wakes_a_paused_sandbox_once() -> None:
    made = await world()
    sandbox_id = (await made.create())["sandboxId"]
    paused = await made.do("POST", sandbox_id, "pause")
    assert (paused["status"], paused["health"]) == ("PAUSED", "paused")
    assert paused["pausedAt"]

    async def use() -> None:
        async with in_use(made, sandbox_id) as running:
            assert running.told == ["pause", "resume"]

    await asyncio.gather(*(use() for _ in range(5)))
    shown = await made.do("GET", sandbox_id)
    assert shown["status"] == "READY"
    assert "pausedAt" not in shown


async def test_a_sandbox_that_is_to_stay_paused_stays_so() -> None:
    made = await world()
    sandbox_id = (await made.create(autoResume=False))["sandboxId"]
    await made.do("POST", sandbox_id, "pause")
    with pytest.raises(ServiceError, match="is PAUSED; resume it first"):
        async with in_use(made, sandbox_id):
            pass
    await made.do("POST", sandbox_id, "resume")
    async with in_use(made, sandbox_id):
        pass


async def test_pausing_and_resuming_twice_is_allowed() -> None:
    made = await world()
    sandbox_id = (await made.create())["sandboxId"]
    for operation in ("pause", "pause", "resume", "resume"):
        await made.do("POST", sandbox_id, operation)
    assert made.backend.started[0].told == ["pause", "resume"]


# Metadata


async def test_metadata_is_changed_and_found() -> None:
    made = await world()
    first = await made.create(metadata={"team": "a", "my.key": "1"})
    second = await made.create(metadata={"team": "b"})
    assert (await made.list(**{"metadata.team": "b"}))["items"] == [second]
    assert (await made.list(**{"metadata.my.key": "1", "metadata.team": "a"}))["items"] == [first]
    assert (await made.list(**{"metadata.team": "a", "status": "PAUSED"}))["items"] == []
    assert "metadata key" in await refused(made.list(**{'metadata.a"b': "1"}), 400)
    changed = await made.do("PATCH", first["sandboxId"], "metadata", {"team": None, "new": "x"})
    assert changed["metadata"] == {"my.key": "1", "new": "x"}
    wrapped = await made.do("PATCH", first["sandboxId"], "metadata", {"metadata": {"new": "y"}})
    assert wrapped["metadata"] == {"my.key": "1", "new": "y"}
    assert (await made.list(**{"metadata.new": "y"}))["items"] == [wrapped]
    assert "object of texts" in await refused(made.do("PATCH", first["sandboxId"], "metadata", {"a": 1}), 400)


async def test_capabilities_are_the_backends() -> None:
    made = await world()
    answer = await made.do("GET", (await made.create())["sandboxId"], "capabilities")
    assert answer["backend"] == "pretended"
    assert answer["capabilities"] == ["credentials", "images", "mounts", "network-policy", "pause"]


# Ends


async def test_a_stopped_sandbox_is_remembered_and_a_deleted_one_is_not() -> None:
    made = await world()
    stopped, deleted = [(await made.create())["sandboxId"] for _ in range(2)]
    answer = await made.do("POST", stopped, "stop")
    assert (answer["status"], answer["endReason"]) == ("TERMINATED", "stopped")
    assert await made.do("POST", stopped, "stop") == answer == await made.do("GET", stopped)
    assert (await made.do("DELETE", deleted))["status"] == "TERMINATED"
    assert "does not exist" in await refused(made.do("GET", deleted), 404)
    assert "does not exist" in await refused(made.do("DELETE", deleted), 404)
    assert made.sandboxes.ended_reason(ALICE.scope, stopped) == "stopped"
    assert made.sandboxes.ended_reason(ALICE.scope, deleted) == "deleted"
    assert made.sandboxes.ended_reason(ALICE.scope, "never") is None
    assert not made.backend.running
    await made.do("DELETE", stopped)
    assert (await made.list())["items"] == []


async def test_death_is_noticed_at_once() -> None:
    made = await world()
    sandbox_id = (await made.create())["sandboxId"]
    assert made.sandboxes.ended_reason(ALICE.scope, sandbox_id) is None
    made.backend.started[0].die(137)
    for _ in range(5):
        await asyncio.sleep(0)
    assert made.sandboxes.ended_reason(ALICE.scope, sandbox_id) == "its processes ended: ended by SIGKILL"
    assert (await made.do("GET", sandbox_id))["status"] == "TERMINATED"
    assert "ended by SIGKILL" in await refused(made.do("POST", sandbox_id, "resume"), 410)


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (3, "exit code 3"), (-15, "ended by SIGTERM"), (255, "exit code 255")]
)
async def test_exits_in_words(code: int, text: str) -> None:
    assert exit_text(code) == text


async def test_deletion_answers_when_nothing_runs_any_more_even_if_somebody_else_began() -> None:
    made = await world()
    sandbox_id = (await made.create())["sandboxId"]
    made.backend.may_stop.clear()
    stop = asyncio.ensure_future(made.do("POST", sandbox_id, "stop"))
    await asyncio.sleep(0)
    delete = asyncio.ensure_future(made.do("DELETE", sandbox_id))
    await asyncio.sleep(0.01)
    assert not stop.done()
    assert not delete.done()
    stop.cancel()
    made.backend.may_stop.set()
    await delete
    assert not made.backend.running


async def test_a_new_sandbox_waits_for_the_old_one_of_its_id() -> None:
    made = await world()
    await made.create(sandboxId="mine")
    made.backend.may_stop.clear()
    delete = asyncio.ensure_future(made.do("DELETE", "mine"))
    await asyncio.sleep(0)
    create = asyncio.ensure_future(made.create(sandboxId="mine"))
    await asyncio.sleep(0.01)
    assert len(made.backend.started) == 1
    made.backend.may_stop.set()
    await delete
    assert (await create)["status"] == "READY"


async def test_reset_and_close_end_everything() -> None:
    made = await world()
    made.template(tenant=BOB)
    await made.create()
    other = await made.create(BOB)
    await made.sandboxes.reset(ALICE.scope.account)
    assert made.sandboxes.count == 1
    await made.sandboxes.close()
    assert not made.backend.running
    assert (await made.do("GET", other["sandboxId"], tenant=BOB))["endReason"] == "the emulator was stopped"


async def test_what_an_emulator_left_is_marked(tmp_path: Path) -> None:
    made = await world(state=tmp_path)
    created = [await made.create(sessionKey=f"u{number}") for number in range(3)]
    await made.do("POST", created[1]["sandboxId"], "pause")
    await made.do("POST", created[2]["sandboxId"], "stop")
    made.store.close()
    again = World(state=tmp_path)
    again.sandboxes.recover()
    reasons = [item["endReason"] for item in (await again.list())["items"]]
    assert reasons == ["the emulator was restarted", "the emulator was restarted", "stopped"]
    assert (await again.create(sessionKey="u0"))["acquired"] == "created"


# Owners


def idle_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


@pytest.mark.parametrize("with_pidfd", [True, False])
async def test_a_sandbox_ends_with_its_owner(with_pidfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await world()
    if not with_pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    sweep = asyncio.ensure_future(made.sandboxes.sweep())
    with idle_process() as process:
        owner = {"pid": process.pid, "startTime": int(birth_of(process.pid) or 0)}
        owned = [(await made.create(owner=owner))["sandboxId"] for _ in range(3)]
        await made.do("DELETE", owned[0])
        kept = (await made.create(owner={"pid": os.getpid()}))["sandboxId"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        await eventually(lambda: made.sandboxes.count == 1)
    reason = f"its owner, process {process.pid}, ended"
    assert {(await made.do("GET", sandbox_id))["endReason"] for sandbox_id in owned[1:]} == {reason}
    assert (await made.do("GET", kept))["status"] == "READY"
    sweep.cancel()
    await made.sandboxes.close()


async def test_the_end_of_an_owner_is_told_without_a_sweep() -> None:
    made = await world()
    with idle_process() as process:
        await made.create(owner={"pid": process.pid})
        assert process.stdin is not None
        process.stdin.close()
        await eventually(lambda: made.sandboxes.count == 0)
