"""What only the local platform does: what is sent, and how the cloud's answer to it is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import pytest

from agentrun import (
    Checkpoint,
    ClientError,
    CodeInterpreterSandbox,
    InvalidInputError,
    InvalidResponseError,
    Mount,
    NetworkPolicy,
    NetworkRule,
    ResourceNotExistError,
    Sandbox,
    SandboxClient,
    SandboxCredential,
    SandboxOptions,
    SandboxTerminatedError,
    Template,
    UnsupportedError,
)
from agentrun._core.extensions import is_loopback
from agentrun.sandbox.options import Owner, SandboxExtras
from tests.unit.recording import Do, Platform, Sent, blocking, by_path, enveloped, in_both_modes, refused

LOCAL = {"control_endpoint": "http://127.0.0.1:4590", "data_endpoint": "http://127.0.0.1:4590"}
BASE = "/sandboxes/01SB"
RECORD = {"sandboxId": "01SB", "templateName": "tpl", "status": "READY"}
CONTEXT = {"id": "ctx-1", "language": "python", "cwd": "/home/user"}


def bare(value: Any) -> httpx.Response:
    return httpx.Response(200, json=value)


def sandbox(platform: Platform, **changes: Any) -> CodeInterpreterSandbox:
    return CodeInterpreterSandbox.of(RECORD, platform.config().replace(**changes))


Use = Callable[[Do, CodeInterpreterSandbox], object]


def in_a_context(name: str, *arguments: Any) -> Use:
    """A verb of a context that exists."""

    def use(do: Do, held: CodeInterpreterSandbox) -> object:
        held.context._context_id = "ctx-1"  # pyright: ignore[reportPrivateUsage]
        return do(held.context, name, *arguments)

    return use


def on(part: str, name: str, *arguments: Any, **options: Any) -> Use:
    """A verb of a part of the sandbox."""
    return lambda do, held: do(getattr(held, part), name, *arguments, **options)


def of_it(name: str, *arguments: Any) -> Use:
    """A verb of the sandbox itself."""
    return lambda do, held: do(held, name, *arguments)


EXTENSIONS: dict[str, tuple[Use, str]] = {
    "restart": (in_a_context("restart"), f"POST {BASE}/contexts/ctx-1/restart"),
    "interrupt": (in_a_context("interrupt"), f"POST {BASE}/contexts/ctx-1/interrupt"),
    "checkpoint": (in_a_context("checkpoint"), f"POST {BASE}/contexts/ctx-1/checkpoint"),
    "checkpoints": (in_a_context("checkpoints"), f"GET {BASE}/contexts/ctx-1/checkpoints"),
    "rollback": (in_a_context("rollback", "cp-1"), f"POST {BASE}/contexts/ctx-1/rollback"),
    "delete_checkpoint": (
        in_a_context("delete_checkpoint", Checkpoint(checkpoint_id="cp-1")),
        f"DELETE {BASE}/contexts/ctx-1/checkpoints/cp-1",
    ),
    "fork": (in_a_context("fork", 2), f"POST {BASE}/contexts/ctx-1/fork"),
    "execute_stream": (on("context", "execute_stream", "1"), f"POST {BASE}/contexts/execute"),
    "write_stream": (on("file", "write_stream", "/x", [b"a"]), f"PUT {BASE}/filesystem/content"),
    "read_many": (on("file", "read_many", ["/x"]), f"POST {BASE}/files/batch"),
    "write_many": (on("file", "write_many", {"/x": "a"}), f"POST {BASE}/files/batch"),
    "url": (on("file", "url", "/x"), f"POST {BASE}/filesystem/signed-url"),
    "search": (on("file_system", "search"), f"GET {BASE}/filesystem/search"),
    "set_permissions": (on("file_system", "set_permissions", "/x", "755"), f"POST {BASE}/filesystem/permissions"),
    "watch": (on("file_system", "watch", "/x"), f"GET {BASE}/filesystem/watch"),
    "cmd": (on("process", "cmd", "ls", on_stdout=print), f"POST {BASE}/processes/cmd"),
    "start": (on("process", "start", "ls"), f"POST {BASE}/processes"),
    "kill": (on("process", "kill", "7", signal="SIGTERM"), f"POST {BASE}/processes/7/signal"),
    "pty": (on("process", "pty"), f"GET {BASE}/processes/tty"),
    "set_timeout": (of_it("set_timeout", 60), f"POST {BASE}/timeout"),
    "set_network": (of_it("set_network", NetworkPolicy.off()), f"PUT {BASE}/network"),
    "set_metadata": (of_it("set_metadata", {"a": "b"}), f"PATCH {BASE}/metadata"),
    "patch": (of_it("patch", "/mnt"), f"GET {BASE}/patch"),
}
MARK = "Extension of the local platform; elsewhere it raises UnsupportedError."
each_extension = pytest.mark.parametrize("name", EXTENSIONS)


@in_both_modes
@each_extension
@pytest.mark.parametrize("status", [404, 405, 400, 501])
def test_the_cloud_does_not_know_an_extension(do: Do, name: str, status: int) -> None:
    use, call = EXTENSIONS[name]
    platform = Platform(lambda _: refused(status, "no route"))
    with pytest.raises(UnsupportedError, match="is an extension of the local platform") as caught:
        use(do, sandbox(platform, max_retries=0))
    assert platform.calls == [call]
    assert caught.value.status_code == status
    assert caught.value.hint
    assert caught.value.request_id == "R-2"


@each_extension
def test_an_extension_is_marked_as_one(name: str) -> None:
    held = sandbox(Platform(by_path({})))
    owners = (held, held.context, held.file, held.file_system, held.process)
    verbs = [getattr(owner, name) for owner in owners if hasattr(owner, name)]
    assert any("an extension of the local platform" in verb.__doc__.lower() or MARK in verb.__doc__ for verb in verbs)


@in_both_modes
@each_extension
def test_a_refusal_of_the_local_platform_is_what_it_says(do: Do, name: str) -> None:
    answer = httpx.Response(400, json={"message": "wrong"}, headers={"X-AgentRun-Emulator": "0.1.0"})
    with pytest.raises(ClientError, match="wrong"):
        EXTENSIONS[name][0](do, sandbox(Platform(lambda _: answer)))


@each_extension
def test_a_missing_sandbox_is_not_a_missing_extension(name: str) -> None:
    platform = Platform(lambda _: refused(404, "sandbox 01SB does not exist"))
    with pytest.raises(ResourceNotExistError):
        EXTENSIONS[name][0](blocking, sandbox(platform))


@in_both_modes
def test_capabilities_are_none_on_the_cloud(do: Do) -> None:
    assert do(sandbox(Platform(lambda _: refused(404, "no route"))), "capabilities") == frozenset()
    known = Platform(lambda _: enveloped({"backend": "process", "capabilities": ["fork", "ports"]}))
    assert do(sandbox(known), "capabilities") == {"fork", "ports"}


# Creation

EVERYTHING = SandboxOptions(
    metadata={"user": "ada"},
    client_token="t-1",
    timeout_seconds=60,
    network=NetworkPolicy.allow("*.pypi.org", "10.0.0.0/8", NetworkRule(domain="api.x", methods=["GET"])),
    mounts=[Mount(source="data", target="/mnt/data", mode="copy-on-write")],
    auto_resume=False,
    isolation_level="namespaces",
    leased=True,
    credentials=["api", SandboxCredential.of("db", {"DB_PASSWORD": "password"}, hosts=["db.example.com"])],
)


def creating() -> Platform:
    return Platform(
        by_path(
            {
                "GET /2025-09-10/templates/tpl": lambda: enveloped(
                    {"templateName": "tpl", "templateType": "CodeInterpreter"}
                ),
                "POST /sandboxes": lambda: enveloped({**RECORD, "acquired": "created"}),
            }
        )
    )


@in_both_modes
def test_options_travel(do: Do) -> None:
    platform = creating()
    config = platform.config().replace(**LOCAL)
    held = Template.of({"templateName": "tpl", "templateType": "CodeInterpreter"}, config)
    do(Sandbox, "create", "CodeInterpreter", "tpl", config=config, **EVERYTHING)
    do(SandboxClient(config), "create_sandbox", "tpl", **EVERYTHING)
    do(held, "create_sandbox", **EVERYTHING)
    do(Sandbox, "acquire", "user-1", "tpl", "CodeInterpreter", config=config, **EVERYTHING)
    bodies = [sent.body for sent in platform.requests if sent.method == "POST"]
    expected = {
        "templateName": "tpl",
        "metadata": {"user": "ada"},
        "clientToken": "t-1",
        "timeoutSeconds": 60,
        "network": {
            "mode": "allow-list",
            "allow": [{"domain": "*.pypi.org"}, {"cidr": "10.0.0.0/8"}, {"domain": "api.x", "methods": ["GET"]}],
        },
        "mounts": [{"source": str(Path("data").absolute()), "target": "/mnt/data", "mode": "copy-on-write"}],
        "autoResume": False,
        "isolationLevel": "namespaces",
        "owner": Owner.this_process().to_wire(),
        "credentials": [
            {"credentialName": "api"},
            {
                "credentialName": "db",
                "environment": {"DB_PASSWORD": "password"},
                "hosts": ["db.example.com"],
            },
        ],
    }
    idle = {"sandboxIdleTimeoutSeconds": 600}
    assert bodies == [
        {**expected, **idle},
        {**expected, **idle},
        expected,
        {**expected, **idle, "sessionKey": "user-1"},
    ]


@in_both_modes
@pytest.mark.parametrize("name", EVERYTHING)
def test_options_are_refused_before_anything_is_sent(do: Do, name: str) -> None:
    platform = creating()
    option = {name: dict(EVERYTHING)[name]}
    with pytest.raises(UnsupportedError, match="extension of the local platform"):
        do(Sandbox, "create", "CodeInterpreter", "tpl", config=platform.config(), **option)
    with pytest.raises(UnsupportedError, match=r"Sandbox\.acquire is an extension"):
        do(Sandbox, "acquire", "key", "tpl", config=platform.config())
    assert platform.calls == []


@in_both_modes
def test_a_misspelt_option_is_named(do: Do) -> None:
    with pytest.raises(InvalidInputError, match="Did you mean timeout_seconds"):
        do(Sandbox, "create", "CodeInterpreter", "tpl", config=creating().config(), timeout_secs=1)


def test_the_options_are_those_that_travel() -> None:
    assert SandboxExtras.model_fields.keys() == get_type_hints(SandboxOptions).keys() == EVERYTHING.keys()


def test_an_owner_is_this_process() -> None:
    owner = Owner.this_process()
    assert owner.pid == os.getpid()
    uptime = float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK")
    assert 0 < owner.start_time <= uptime


@in_both_modes
def test_an_acquired_sandbox_says_how(do: Do) -> None:
    held = do(Sandbox, "acquire", "key", "tpl", config=creating().config().replace(**LOCAL))
    assert (type(held), held.acquired) == (CodeInterpreterSandbox, "created")


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("http://127.0.0.1:4590", True),
        ("http://127.8.8.8", True),
        ("http://localhost:1", True),
        ("http://emulator.localhost", True),
        ("http://[::1]:4590", True),
        ("https://1.agentrun-data.cn-hangzhou.aliyuncs.com", False),
        ("http://localhost.example.com", False),
        ("http://10.0.0.1", False),
    ],
)
def test_what_is_local(endpoint: str, local: bool) -> None:
    assert is_loopback(endpoint) is local


@in_both_modes
def test_sandboxes_are_found_by_metadata(do: Do) -> None:
    platform = Platform(lambda _: enveloped({"items": [RECORD]}))
    config = platform.config().replace(**LOCAL)
    assert len(do(Sandbox, "list", metadata={"user": "ada"}, status="READY", config=config).sandboxes) == 1
    assert [each.sandbox_id for each in do(Sandbox, "list_all", metadata={"user": "ada"}, config=config)] == ["01SB"]
    assert [sent.query for sent in platform.requests] == [
        {"maxResults": "10", "metadata.user": "ada", "status": "READY"},
        {"maxResults": "50", "metadata.user": "ada"},
    ]
    with pytest.raises(UnsupportedError, match="with metadata"):
        do(Sandbox, "list_all", metadata={"user": "ada"}, config=platform.config())


# Network policies and mounts


def test_policies() -> None:
    assert NetworkPolicy.off().to_wire() == {"mode": "off", "allow": []}
    assert NetworkPolicy.on().to_wire() == {"mode": "on", "allow": []}
    assert NetworkPolicy.allow("1.2.3.4", "::1").to_wire()["allow"] == [{"cidr": "1.2.3.4/32"}, {"cidr": "::1/128"}]
    assert NetworkPolicy.from_wire({"mode": "allow-list", "allow": [{"domain": "x"}]}).rules[0].domain == "x"
    for cidr in (None, "1.0.0.0/8"):
        with pytest.raises(InvalidInputError, match="either a domain or a cidr"):
            NetworkRule(domain=cidr and "x", cidr=cidr)


def test_a_mount_is_absolute(tmp_path: Path) -> None:
    assert Mount(source=str(tmp_path), target="/mnt").source == str(tmp_path)
    assert Mount(source="~", target="/mnt").to_wire() == {
        "source": str(Path.home()),
        "target": "/mnt",
        "mode": "read-only",
    }
    with pytest.raises(InvalidInputError, match="mode"):
        Mount(source="x", target="/mnt", mode="read-write")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Life


@in_both_modes
def test_changes_update_the_object(do: Do) -> None:
    answer: dict[str, Any] = {
        **RECORD,
        "expiresAt": "later",
        "health": "ready",
        "isolation": {"level": "namespaces", "missing": []},
    }
    platform = Platform(lambda _: enveloped(answer))
    held = sandbox(platform)
    assert do(held, "set_timeout", 60, 10) is held
    do(held, "set_timeout", idle_seconds=5)
    do(held, "set_metadata", {"a": "b", "c": None})
    do(held, "set_network", NetworkPolicy.allow("x.org"))
    assert (held.expires_at, held.health) == ("later", "ready")
    assert held.isolation
    assert held.isolation.level == "namespaces"
    assert [sent.body for sent in platform.requests] == [
        {"seconds": 60, "idleSeconds": 10},
        {"idleSeconds": 5},
        {"metadata": {"a": "b", "c": None}},
        {"mode": "allow-list", "allow": [{"domain": "x.org"}]},
    ]


@in_both_modes
def test_a_patch_is_text(do: Do) -> None:
    diff = "--- a/x\n+++ b/x\n"
    platform = Platform(lambda _: httpx.Response(200, text=diff))
    assert do(sandbox(platform), "patch", "/mnt/data") == diff
    assert platform.requests[0].query == {"mount": "/mnt/data"}


@in_both_modes
@pytest.mark.parametrize("answer", [(404, "sandbox 01SB does not exist"), (410, "sandbox 01SB is TERMINATED")])
def test_ending_what_has_ended_is_no_error(do: Do, answer: tuple[int, str]) -> None:
    held = sandbox(Platform(lambda _: refused(*answer)))
    assert do(held, "stop") is held
    assert do(held, "delete") is held
    do(held, "close")
    if answer[0] == 410:
        with pytest.raises(SandboxTerminatedError):
            do(held, "pause")
    assert held.status == "TERMINATED"


def test_a_port_is_reached_with_signed_headers() -> None:
    held = sandbox(Platform(by_path({})))
    port = held.port(8000)
    assert held.url(8000, "/a b") == f"http://data.test{BASE}/ports/8000/a b"
    assert port.url() == f"http://data.test{BASE}/ports/8000/"
    assert port.url("x", {"q": "1 2"}) == f"http://data.test{BASE}/ports/8000/x?q=1%202"
    assert port.websocket_url("ws") == f"ws://data.test{BASE}/ports/8000/ws"
    headers = port.headers("POST", "x")
    assert headers["agentrun-authorization"].startswith("AGENTRUN4-HMAC-SHA256 Credential=AKID/")
    assert headers != port.headers("GET", "x")


# Contexts


@in_both_modes
def test_forks_are_contexts_of_their_own(do: Do) -> None:
    def answer(sent: Sent) -> httpx.Response:
        if sent.path.endswith("/fork"):
            return bare([{**CONTEXT, "id": f"ctx-{number}"} for number in (2, 3)])
        return bare(CONTEXT) if sent.path.endswith("/contexts") else bare({"results": []})

    platform = Platform(answer)
    held = sandbox(platform)
    context = do(held.context, "create")
    copies = do(context, "fork", 2)
    assert [each.context_id for each in copies] == ["ctx-2", "ctx-3"]
    assert held.context.context_id == "ctx-1"
    assert platform.requests[1].body == {"count": 2}
    do(copies[0], "execute", "1")
    assert platform.requests[2].body["contextId"] == "ctx-2"


@in_both_modes
def test_checkpoints(do: Do) -> None:
    made = {"checkpointId": "cp-1", "contextId": "ctx-1", "createdAt": "now"}
    answers = {
        f"POST {BASE}/contexts": lambda: bare(CONTEXT),
        f"POST {BASE}/contexts/ctx-1/checkpoint": lambda: bare(made),
        f"GET {BASE}/contexts/ctx-1/checkpoints": lambda: bare([made]),
        f"POST {BASE}/contexts/ctx-1/rollback": lambda: bare(CONTEXT),
    }
    platform = Platform(by_path(answers))
    context = do(sandbox(platform).context, "create")
    checkpoint = do(context, "checkpoint")
    assert checkpoint == Checkpoint(checkpoint_id="cp-1", context_id="ctx-1", created_at="now")
    assert do(context, "checkpoints") == [checkpoint]
    do(context, "rollback", checkpoint)
    assert platform.requests[-1].body == {"checkpointId": "cp-1"}


def test_without_a_context_there_is_nothing_to_fork() -> None:
    with pytest.raises(InvalidInputError, match="no current context"):
        sandbox(Platform(by_path({}))).context.fork()


# Files


def ranged(sent: Sent) -> httpx.Response:
    """A file of ten digits, on a platform that knows ranges."""
    first, last = map(int, sent.headers["range"].removeprefix("bytes=").split("-"))
    if first >= 10:
        return refused(416, "beyond the end")
    return httpx.Response(206, content=b"0123456789"[first : last + 1])


@in_both_modes
@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_part_of_a_file(do: Do, knows_ranges: bool) -> None:
    def whole(_: Sent) -> httpx.Response:
        return httpx.Response(200, content=b"0123456789")

    files = sandbox(Platform(ranged if knows_ranges else whole)).file
    parts = [(2, 3), (0, 10), (8, 9), (10, 5), (0, 0)]
    assert [do(files, "read_range", "/x", *part) for part in parts] == [b"234", b"0123456789", b"89", b"", b""]
    with pytest.raises(InvalidInputError):
        do(files, "read_range", "/x", -1, 5)


@in_both_modes
def test_bytes_as_a_whole(do: Do) -> None:
    platform = Platform(
        lambda sent: bare({"path": "/x", "size": 2}) if sent.content else httpx.Response(200, content=b"\xff")
    )
    files = sandbox(platform).file
    assert do(files, "read_bytes", "/x") == b"\xff"
    assert do(files, "write_bytes", "/x", b"\x00\xff", "600") == {"path": "/x", "size": 2}
    assert platform.requests[1].body == {
        "path": "/x",
        "content": "AP8=",
        "mode": "600",
        "encoding": "base64",
        "createDir": True,
    }


@in_both_modes
@pytest.mark.parametrize("kind", ["bytes", "pieces", "file"])
def test_any_source_is_sent(do: Do, kind: str) -> None:
    content = b"line\n" * 200_000
    sources: dict[str, Any] = {"bytes": content, "pieces": [content[:7], content[7:]], "file": BytesIO(content)}
    platform = Platform(lambda _: bare({"path": "/x", "size": len(content)}))
    assert do(sandbox(platform).file, "write_stream", "/x", sources[kind])["size"] == len(content)
    sent = platform.requests[0]
    assert (sent.method, sent.query) == ("PUT", {"path": "/x", "mode": "644", "createDir": "true"})
    assert sent.headers["content-type"] == "application/octet-stream"
    assert sent.content == content


def test_a_file_in_pieces() -> None:
    platform = Platform(lambda _: httpx.Response(200, content=(piece for piece in [b"a", b"b"])))
    with sandbox(platform).file.stream("/x") as pieces:
        assert b"".join(pieces) == b"ab"


@in_both_modes
def test_many_files_at_once(do: Do) -> None:
    def answer(sent: Sent) -> httpx.Response:
        wanted = sent.body
        read = [{"path": path, "error": {"code": "ERR_NOT_FOUND"}} for path in wanted.get("read", [])]
        return bare({"written": [{"path": each["path"], "size": 1} for each in wanted.get("write", [])], "read": read})

    platform = Platform(answer)
    files = sandbox(platform).file
    assert do(files, "write_many", {"/a": "x", "/b": b"\xff"}) == [{"path": "/a", "size": 1}, {"path": "/b", "size": 1}]
    assert do(files, "read_many", ["/a"])[0]["error"]["code"] == "ERR_NOT_FOUND"
    assert platform.requests[0].body["write"] == [
        {"path": "/a", "mode": "644", "content": "x", "encoding": "utf-8"},
        {"path": "/b", "mode": "644", "content": "/w==", "encoding": "base64"},
    ]


@in_both_modes
def test_a_signed_url(do: Do) -> None:
    platform = Platform(lambda _: bare({"url": "http://x/signed", "expiresAt": "later"}))
    assert do(sandbox(platform).file, "url", "/x", 60, "upload") == "http://x/signed"
    assert platform.requests[0].body == {"path": "/x", "operation": "upload", "expiresInSeconds": 60}
    with pytest.raises(InvalidResponseError):
        do(sandbox(Platform(lambda _: bare({}))).file, "url", "/x")


@in_both_modes
def test_whether_something_is_there(do: Do) -> None:
    def answer(sent: Sent) -> httpx.Response:
        return bare({"path": "/x"}) if sent.query["path"] == "/x" else refused(404, "/y does not exist")

    folders = sandbox(Platform(answer)).file_system
    assert [do(folders, "exists", path) for path in ("/x", "/y")] == [True, False]
    with pytest.raises(ClientError):
        do(sandbox(Platform(lambda _: refused(403, "not yours"))).file_system, "exists", "/x")
    with pytest.raises(ResourceNotExistError):
        do(sandbox(Platform(lambda _: refused(404, "sandbox 01SB does not exist"))).file_system, "exists", "/x")
