from __future__ import annotations

import importlib.util
import shutil

import httpx
import pytest

from tests.emulator.backends.executing import execute, new_context, post, value

pytestmark = pytest.mark.asyncio(loop_scope="module")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_kernel = pytest.mark.skipif(
    importlib.util.find_spec("ipykernel") is None or importlib.util.find_spec("jupyter_client") is None,
    reason="ipykernel and jupyter_client are not installed",
)
KERNEL = "jupyter:python3"


async def test_bash_keeps_variables_functions_and_folder(client: httpx.AsyncClient) -> None:
    context = await new_context(client, "bash")
    await execute(client, "x=5; f() { echo $((x + $1)); }; cd /tmp", contextId=context)
    answer = await execute(client, "echo $x; pwd; f 2; echo bad >&2; cat", contextId=context)
    assert answer["stdout"]["text"] == "5\n/tmp\n7\n"
    assert answer["stderr"]["text"] == "bad\n"


async def test_bash_reports_the_exit_status_and_survives_a_timeout(client: httpx.AsyncClient) -> None:
    context = await new_context(client, "bash")
    error = (await execute(client, "x=1; (exit 3)", contextId=context))["error"]
    assert (error["name"], error["value"]) == ("ExitStatus", "3")
    for code in ("sleep 30; echo after", "while :; do :; done"):
        answer = await execute(client, code, contextId=context, timeout=0.3)
        assert "kept" in answer["timeout"]["text"]
        assert "stdout" not in answer
    assert (await execute(client, "echo $x", contextId=context))["stdout"]["text"] == "1\n"


async def test_exit_ends_bash_and_says_how(client: httpx.AsyncClient) -> None:
    context = await new_context(client, "bash")
    answer = await execute(client, "x=1; exit 3", contextId=context)
    assert (answer["error"]["name"], answer["error"]["value"]) == ("InterpreterExited", "3")
    assert "stderr" not in answer
    assert (await execute(client, "echo [$x]", contextId=context))["stdout"]["text"] == "[]\n"


async def test_bash_survives_code_that_is_no_bash(client: httpx.AsyncClient) -> None:
    context = await new_context(client, "bash")
    assert "syntax error" in (await execute(client, "if (", contextId=context))["stderr"]["text"]
    assert (await execute(client, "echo 'it''s\n\"fine\"'", contextId=context))["stdout"]["text"] == 'its\n"fine"\n'


@needs_node
async def test_javascript_keeps_names_and_lets_them_be_declared_again(client: httpx.AsyncClient) -> None:
    context = await new_context(client, "javascript")
    answer = await execute(
        client, "let x = 5; const y = await Promise.resolve(x + 1); console.log('hi')", contextId=context
    )
    assert answer["stdout"]["text"] == "hi\n"
    assert await value(client, "let x = 7; [x, y, {a: 1}]", contextId=context) == "[ 7, 6, { a: 1 } ]"
    assert await value(client, "require('fs').existsSync('/')", contextId=context) == "true"


@needs_node
async def test_javascript_errors_have_the_stack_of_the_code_only(client: httpx.AsyncClient) -> None:
    context = await new_context(client, "javascript")
    error = (await execute(client, "function f() {\n throw new TypeError('no') }\nf()", contextId=context))["error"]
    assert (error["name"], error["value"]) == ("TypeError", "no")
    assert "at f (<anonymous>:2:8)" in error["text"]
    assert "node:" not in error["text"]
    assert "javascript.js" not in error["text"]
    assert (await execute(client, "foo(", contextId=context))["error"]["name"] == "SyntaxError"
    assert (await execute(client, "throw 5", contextId=context))["error"]["value"] == "5"


@needs_node
@pytest.mark.parametrize("code", ["while (true);", "new Promise(() => {})", "await new Promise(() => {})"])
async def test_javascript_survives_a_timeout(client: httpx.AsyncClient, code: str) -> None:
    context = await new_context(client, "javascript")
    await execute(client, "let x = 5", contextId=context)
    assert "kept" in (await execute(client, code, contextId=context, timeout=0.3))["timeout"]["text"]
    assert await value(client, "x", contextId=context) == "5"


@needs_kernel
async def test_a_jupyter_kernel_keeps_state_and_shows_results(client: httpx.AsyncClient) -> None:
    context = await new_context(client, KERNEL)
    answer = await execute(client, "x = 5\nprint('out')\nx + 1", contextId=context)
    assert answer["stdout"]["text"] == "out\n"
    assert answer["result"]["data"]["text/plain"] == "6"
    error = (await execute(client, "1/0", contextId=context))["error"]
    assert (error["name"], "\x1b" in error["text"]) == ("ZeroDivisionError", False)
    shown = (await execute(client, "display({'text/html': '<b>'}, raw=True)", contextId=context))["result"]
    assert shown["data"] == {"text/html": "<b>"}
    assert (
        "kept"
        in (await execute(client, "import time; time.sleep(30)", contextId=context, timeout=0.5))["timeout"]["text"]
    )
    assert await value(client, "x", contextId=context) == "5"


@needs_kernel
async def test_a_jupyter_kernel_that_ends_is_replaced(client: httpx.AsyncClient) -> None:
    context = await new_context(client, KERNEL)
    assert (await execute(client, "import os; os._exit(1)", contextId=context))["error"]["name"] == "InterpreterExited"
    assert await value(client, "1 + 1", contextId=context) == "2"
    assert (await post(client, f"/contexts/{context}/restart"))["language"] == KERNEL


async def test_an_unknown_language_lists_what_there_is(client: httpx.AsyncClient) -> None:
    response = await client.post("/contexts", json={"language": "ruby"})
    assert response.status_code == 400
    for word in ("ruby", "python", "bash"):
        assert word in response.json()["message"]
