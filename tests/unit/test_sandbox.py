"""Sandboxes and templates: what the objects do beside sending one request."""

from __future__ import annotations

import itertools
import tracemalloc
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun import (
    AgentRunError,
    ClientError,
    CodeInterpreterSandbox,
    Config,
    CustomSandbox,
    InvalidInputError,
    ResourceFailedError,
    ResourceNotExistError,
    Sandbox,
    SandboxClient,
    ServerError,
    Template,
    TemplateInput,
    TemplateType,
    UnsupportedError,
)
from tests.unit.recording import Do, Platform, Sent, by_path, enveloped, in_both_modes, refused

TEMPLATE = "/2025-09-10/templates/tpl"
READY = {"sandboxId": "01SB", "templateName": "tpl", "status": "READY"}


def sandbox(config: Config) -> CodeInterpreterSandbox:
    return CodeInterpreterSandbox.of(READY, config)


def bare(value: Any) -> httpx.Response:
    return httpx.Response(200, json=value)


def typed(kind: str) -> Platform:
    """A platform with one sandbox, whose template is of this type."""
    return Platform(
        by_path(
            {
                f"GET {TEMPLATE}": lambda: enveloped({"templateName": "tpl", "templateType": kind}),
                "POST /sandboxes": lambda: enveloped(READY),
                "GET /sandboxes/01SB": lambda: enveloped(READY),
            }
        )
    )


# The class that fits


@in_both_modes
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("CodeInterpreter", CodeInterpreterSandbox), ("CustomImage", CustomSandbox), ("Browser", Sandbox)],
)
def test_the_class_fits_the_template(do: Do, kind: str, expected: type[Sandbox]) -> None:
    platform = typed(kind)
    config = platform.config()
    for made in (
        do(Sandbox, "create", None, "tpl", config=config),
        do(Sandbox, "connect", "01SB", config=config),
        do(SandboxClient(config), "create_sandbox", "tpl"),
    ):
        assert type(made) is expected
        assert made.sandbox_id == "01SB"


@in_both_modes
def test_a_type_that_is_given_is_not_asked_for(do: Do) -> None:
    platform = typed("CustomImage")
    config = platform.config()
    assert type(do(Sandbox, "create", TemplateType.CODE_INTERPRETER, "tpl", config=config)) is CodeInterpreterSandbox
    assert type(do(CodeInterpreterSandbox, "create", template_name="tpl", config=config)) is CodeInterpreterSandbox
    assert type(do(Sandbox, "connect", "01SB", "CodeInterpreter", config=config)) is CodeInterpreterSandbox
    assert platform.calls == ["POST /sandboxes", "POST /sandboxes", "GET /sandboxes/01SB"]


def test_a_wrong_type_is_refused_where_the_service_knows_better() -> None:
    platform = Platform(lambda _: enveloped({**READY, "templateType": "Browser"}))
    with pytest.raises(InvalidInputError, match="is of type Browser, not CodeInterpreter"):
        Sandbox.connect("01SB", TemplateType.CODE_INTERPRETER, platform.config())


def test_a_sandbox_needs_a_template() -> None:
    with pytest.raises(InvalidInputError, match="made from a template"):
        Sandbox.create(TemplateType.CODE_INTERPRETER)
    with pytest.raises(ResourceNotExistError, match="Template 'nope'"):
        Sandbox.create(TemplateType.CODE_INTERPRETER, "nope", config=Platform(by_path({})).config())


def test_a_custom_sandbox_has_a_url() -> None:
    made = CustomSandbox.of(READY, Platform(by_path({})).config())
    assert made.get_base_url() == "http://data.test/sandboxes/01SB"


# Templates


@in_both_modes
def test_a_template_is_ready_when_it_is_there(do: Do) -> None:
    states = iter(["CREATING", "CREATING", "READY"])
    platform = Platform(lambda _: enveloped({"templateName": "tpl", "status": next(states)}))
    made = do(Template, "create", template_name="tpl", template_type="CodeInterpreter", config=platform.config())
    assert made.status == "READY"
    assert platform.calls == ["POST /2025-09-10/templates", f"GET {TEMPLATE}", f"GET {TEMPLATE}"]


def test_a_template_that_cannot_be_made_says_why() -> None:
    failed = {"templateName": "tpl", "status": "CREATE_FAILED", "statusReason": "no quota"}
    with pytest.raises(ResourceFailedError, match="no quota"):
        Template.create(template_type=TemplateType.CUSTOM, config=Platform(lambda _: enveloped(failed)).config())


@in_both_modes
def test_a_template_update_sends_only_what_was_given(do: Do) -> None:
    platform = Platform(lambda _: enveloped({"templateName": "tpl"}))
    held = Template.of({"templateName": "tpl", "sandboxTTLInSeconds": "60"}, platform.config())
    assert held.sandbox_ttlin_seconds == 60
    given = TemplateInput(template_name="tpl", template_type=TemplateType.CUSTOM, memory=2048)
    assert do(held, "update", given) is held
    assert do(held, "update", description="d") is held
    assert [sent.body for sent in platform.requests] == [{"memory": 2048}, {"description": "d"}]


@in_both_modes
def test_a_template_makes_sandboxes_and_serves_tools(do: Do) -> None:
    platform = Platform(lambda _: enveloped(READY))
    held = Template.of({"templateName": "tpl", "templateType": "CodeInterpreter"}, platform.config())
    assert type(do(held, "create_sandbox")) is CodeInterpreterSandbox
    do(held, "activate_mcp", ["run_code"], "sse")
    do(held, "stop_mcp")
    assert platform.calls == ["POST /sandboxes", f"PATCH {TEMPLATE}/mcp/activate", f"PATCH {TEMPLATE}/mcp/stop"]
    assert [sent.body for sent in platform.requests] == [
        {"templateName": "tpl"},
        {"enabledTools": ["run_code"], "transport": "sse"},
        None,
    ]


# Life


@in_both_modes
def test_pausing_and_resuming_change_the_object(do: Do) -> None:
    platform = Platform(lambda sent: enveloped({**READY, "status": sent.path.rpartition("/")[2].upper()}))
    held = sandbox(platform.config())
    assert do(held, "pause") is held
    assert held.status == "PAUSE"
    assert do(held, "resume").status == "RESUME"
    path = "PUT /2025-09-10/sandboxes/01SB"
    assert platform.calls == [f"{path}/pause", f"{path}/resume"]


@in_both_modes
def test_all_sandboxes_are_listed_page_by_page(do: Do) -> None:
    def page(sent: Sent) -> httpx.Response:
        token = sent.query.get("nextToken")
        number = int(token or 0)
        following = {"nextToken": str(number + 1)} if number < 2 else {}
        return enveloped({"items": [{"sandboxId": f"sb-{number}"}], **following})

    platform = Platform(page)
    found = do(Sandbox, "list_all", template_type=TemplateType.CODE_INTERPRETER, config=platform.config())
    assert [each.sandbox_id for each in found] == ["sb-0", "sb-1", "sb-2"]
    assert {type(each) for each in found} == {CodeInterpreterSandbox}


def health(*answers: httpx.Response, deleted: httpx.Response | None = None) -> Platform:
    """A sandbox with these answers about its health, one after the other."""
    looks = iter(answers)
    return Platform(lambda sent: (deleted or enveloped(READY)) if sent.method == "DELETE" else next(looks))


def test_a_block_waits_for_the_sandbox_and_deletes_it() -> None:
    platform = health(refused(503, "starting"), bare({"status": "starting"}), bare({"status": "ok"}))
    with sandbox(platform.config().replace(max_retries=0)) as held:
        assert held.sandbox_id == "01SB"
    assert platform.calls == ["GET /sandboxes/01SB/health"] * 3 + ["DELETE /sandboxes/01SB"]


@pytest.mark.asyncio
async def test_a_block_on_a_loop_deletes_the_sandbox() -> None:
    platform = health(bare({"status": "ok"}))
    async with sandbox(platform.config()):
        pass
    assert platform.calls == ["GET /sandboxes/01SB/health", "DELETE /sandboxes/01SB"]


def test_a_sandbox_that_is_gone_already_is_no_error() -> None:
    platform = health(bare({"status": "ok"}), deleted=refused(404, "sandbox 01SB does not exist"))
    with sandbox(platform.config()):
        pass


def test_the_error_of_the_block_comes_out() -> None:
    platform = health(bare({"status": "ok"}), deleted=refused(500, "broken"))
    with pytest.raises(KeyError, match="mine"), sandbox(platform.config()):
        raise KeyError("mine")
    with (
        pytest.raises(ServerError, match="broken"),
        sandbox(health(bare({"status": "ok"}), deleted=refused(500, "broken")).config()),
    ):
        pass


def test_a_sandbox_that_never_starts_is_not_left_behind() -> None:
    platform = health(refused(501, "no interpreter here"))
    with pytest.raises(UnsupportedError, match="no interpreter"), sandbox(platform.config()):
        pytest.fail("the block must not run")
    assert platform.calls[-1] == "DELETE /sandboxes/01SB"


# Contexts


def contexts() -> Platform:
    """A platform that counts its contexts and says in which one code ran."""
    numbers = itertools.count(1)

    def answer(sent: Sent) -> httpx.Response:
        if sent.path.endswith("/execute"):
            return bare({"results": [{"type": "result", "text": sent.body.get("contextId", "none")}]})
        if sent.method == "POST":
            return bare({"id": f"ctx-{next(numbers)}", "language": "python", "cwd": "/home/user"})
        return httpx.Response(204)

    return Platform(answer)


@in_both_modes
def test_code_runs_where_it_belongs(do: Do) -> None:
    held = sandbox(contexts().config())
    assert do(held.context, "execute", "1").text == "none"
    first, second = do(held.context, "create"), do(held.context, "create")
    assert [do(each, "execute", "1").text for each in (first, second, held.context)] == ["ctx-1", "ctx-2", "ctx-2"]
    assert do(held.context, "execute", "1", context_id="ctx-9").text == "ctx-9"
    do(second, "delete")
    assert (first.context_id, second.context_id, held.context.context_id) == ("ctx-1", None, None)


def test_a_context_ends_with_its_block() -> None:
    platform = contexts()
    held = sandbox(platform.config())
    with held.context.create() as context:
        assert context.execute("1").text == "ctx-1"
    assert platform.calls[-1] == "DELETE /sandboxes/01SB/contexts/ctx-1"
    assert held.context.context_id is None


def test_without_a_context_there_is_nothing_to_delete() -> None:
    with pytest.raises(InvalidInputError, match="no current context"):
        sandbox(contexts().config()).context.delete()


@pytest.mark.parametrize(
    ("message", "kind"),
    [("sandbox 01SB does not exist", ResourceNotExistError), ("file /tmp/sandbox.txt not found", ClientError)],
)
def test_a_missing_file_is_not_a_missing_sandbox(message: str, kind: type[AgentRunError]) -> None:
    platform = Platform(lambda _: refused(404, message))
    with pytest.raises(kind) as caught:
        sandbox(platform.config()).file.read("/tmp/sandbox.txt")
    assert type(caught.value) is kind


# Files


@in_both_modes
def test_an_upload_is_a_form(do: Do, tmp_path: Path) -> None:
    source = tmp_path / 'a "b".bin'
    source.write_bytes(b"\x00\r\n--x" * 100_000)
    platform = Platform(lambda _: bare({"path": "/tmp/x", "size": 600_000}))
    answer = do(sandbox(platform.config()).file_system, "upload", source, "/tmp/ä.bin")
    assert answer == {"path": "/tmp/x", "size": 600_000}
    sent = platform.requests[0]
    assert sent.headers["content-length"] == str(len(sent.content))
    assert "transfer-encoding" not in sent.headers
    head = f"content-type: {sent.headers['content-type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + sent.content)
    path, file = form.iter_parts()
    assert bytes(path).partition(b"\r\n\r\n")[2].rstrip() == "/tmp/ä.bin".encode()
    assert file.get_param("filename", header="content-disposition") == "a %22b%22.bin"
    assert source.read_bytes() in sent.content


def test_a_file_that_is_not_there_is_not_sent(tmp_path: Path) -> None:
    platform = Platform(by_path({}))
    with pytest.raises(InvalidInputError, match="there is no file"):
        sandbox(platform.config()).file_system.upload(tmp_path / "nope", "/tmp/x")
    assert platform.calls == []


@in_both_modes
def test_a_download_is_a_file(do: Do, tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    platform = Platform(lambda _: httpx.Response(200, content=b"new" * 1000))
    answer = do(sandbox(platform.config()).file_system, "download", "/tmp/x", str(target))
    assert answer == {"saved_path": str(target), "size": 3000}
    assert target.read_bytes() == b"new" * 1000
    assert list(tmp_path.iterdir()) == [target]
    assert platform.requests[0].query == {"path": "/tmp/x"}


def test_a_download_that_breaks_leaves_the_old_file(tmp_path: Path) -> None:
    def broken() -> Any:
        yield b"half"
        raise httpx.ReadError("gone")

    target = tmp_path / "x.bin"
    target.write_bytes(b"old")
    platform = Platform(lambda _: httpx.Response(200, content=broken()))
    with pytest.raises(ClientError):
        sandbox(platform.config()).file_system.download("/tmp/x", target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_download_needs_a_folder(tmp_path: Path) -> None:
    platform = Platform(by_path({}))
    for wrong in (tmp_path, tmp_path / "nope" / "x"):
        with pytest.raises(InvalidInputError, match="existing folder"):
            sandbox(platform.config()).file_system.download("/tmp/x", wrong)
    assert platform.calls == []


def test_a_large_download_needs_little_memory(tmp_path: Path) -> None:
    platform = Platform(lambda _: httpx.Response(200, content=(b"x" * 65536 for _ in range(512))))
    files = sandbox(platform.config()).file_system
    tracemalloc.start()
    try:
        assert files.download("/tmp/x", tmp_path / "x")["size"] == 32 << 20
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_connection_waits_longer_than_the_code() -> None:
    platform = Platform(lambda _: bare({"results": []}))
    seen: list[Any] = []
    platform.watch = seen.append
    held = sandbox(platform.config())
    held.context.execute("1", timeout=300)
    held.process.cmd("sleep 1", timeout=200)
    assert [each.extensions["timeout"]["read"] for each in seen] == [310, 210]
    assert platform.requests[1].body == {"command": "sleep 1", "cwd": "/home/user", "timeout": 200}
