from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from tests.emulator.backends.executing import execute, new_context, post, results

pytestmark = pytest.mark.asyncio(loop_scope="module")
MEBIBYTE = 1024 * 1024


async def test_health(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/health")).json()
    assert answer["status"] == "ok"
    assert set(answer) == {"status", "service", "version", "timestamp", "uptime"}


async def test_last_expression_is_the_result(client: httpx.AsyncClient) -> None:
    answer = await execute(client, "x = 20\nx + 22")
    assert answer["result"]["text"] == "42"
    assert answer["endOfExecution"]["status"] == "ok"


async def test_state_lasts_in_a_context_and_only_there(client: httpx.AsyncClient) -> None:
    first, second = await new_context(client), await new_context(client)
    await execute(client, "x = 41", contextId=first)
    assert (await execute(client, "x + 1", contextId=first))["result"]["text"] == "42"
    assert (await execute(client, "x + 1", contextId=second))["error"]["name"] == "NameError"


async def test_streams_are_separate_and_captured_from_child_processes(client: httpx.AsyncClient) -> None:
    code = "import os, sys\nprint('one')\nprint('two', file=sys.stderr)\nos.system('echo three; echo four >&2')\nNone"
    answer = await execute(client, code)
    assert answer["stdout"]["text"].split() == ["one", "three"]
    assert answer["stderr"]["text"].split() == ["two", "four"]


async def test_error_has_name_value_and_plain_traceback(client: httpx.AsyncClient) -> None:
    answer = await execute(client, "print('before')\n1/0")
    assert answer["stdout"]["text"] == "before\n"
    assert (answer["error"]["name"], answer["error"]["value"]) == ("ZeroDivisionError", "division by zero")
    assert "1/0" in answer["error"]["text"]
    assert "\x1b" not in answer["error"]["text"]
    assert "guest" not in answer["error"]["text"]
    assert answer["endOfExecution"]["status"] == "error"


async def test_the_value_of_an_error_may_be_broken(client: httpx.AsyncClient) -> None:
    code = "class E(Exception):\n    def __str__(self): raise ValueError\nraise E()"
    assert (await execute(client, code))["error"]["name"] == "E"


async def test_a_syntax_error_has_its_line(client: httpx.AsyncClient) -> None:
    error = (await execute(client, "x = 1\ndef f(:"))["error"]
    assert error["name"] == "SyntaxError"
    assert "line 2" in error["value"]
    assert "def f(:" in error["text"]


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "exit()", "import sys; sys.exit(3)", "raise KeyboardInterrupt"]
)
async def test_leaving_ends_the_code_only(client: httpx.AsyncClient, code: str) -> None:
    context = await new_context(client)
    await execute(client, "x = 1", contextId=context)
    answer = await execute(client, code, contextId=context)
    assert answer["error"]["name"] in ("SystemExit", "KeyboardInterrupt")
    assert "stderr" not in answer
    assert (await execute(client, "x", contextId=context))["result"]["text"] == "1"


async def test_nobody_can_be_asked(client: httpx.AsyncClient) -> None:
    error = (await execute(client, "input('name? ')"))["error"]
    assert (error["name"], "put the value into the code" in error["value"]) == ("EOFError", True)
    assert "guest" not in error["text"]
    assert (await execute(client, "import sys; sys.stdin.read()"))["result"]["text"] == "''"


async def test_every_interpreter_has_random_numbers_of_its_own(client: httpx.AsyncClient) -> None:
    code = "import random, uuid\n(random.random(), uuid.uuid4())"
    texts = {(await execute(client, code))["result"]["text"] for _ in range(3)}
    assert len(texts) == 3


async def test_what_code_forks_does_not_answer_for_it(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    code = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n'parent' if pid else 'child'"
    assert (await execute(client, code, contextId=context))["result"]["text"] == "'parent'"
    assert (await execute(client, "1 + 1", contextId=context))["result"]["text"] == "2"


async def test_text_that_is_no_unicode_travels(client: httpx.AsyncClient) -> None:
    answer = await execute(client, "import os\nos.write(1, b'\\xff|')\nprint('\\udcff')\nNone")
    assert answer["stdout"]["text"] == "\ufffd|\\udcff\n"
    assert (await execute(client, "class A:\n  def __repr__(self): return '\\udcff'\nA()"))["result"]["text"] == "?"


async def test_shell_commands_and_top_level_await(client: httpx.AsyncClient) -> None:
    assert (await execute(client, "!echo $GREETING"))["stdout"]["text"] == "hello\n"
    assert (await execute(client, "import asyncio\nawait asyncio.sleep(0, 'slept')"))["result"]["text"] == "'slept'"


async def test_environment_reaches_the_code(client: httpx.AsyncClient) -> None:
    assert (await execute(client, "import os; os.environ['GREETING']"))["result"]["text"] == "'hello'"


@pytest.mark.parametrize("code", ["import time; time.sleep(30)", "while True: pass", "!sleep 30"])
async def test_timeout_interrupts_and_keeps_the_state(client: httpx.AsyncClient, code: str) -> None:
    context = await new_context(client)
    await execute(client, "x = 1", contextId=context)
    began = time.monotonic()
    answer = await execute(client, code, contextId=context, timeout=0.3)
    assert time.monotonic() - began < 1.3
    assert "kept" in answer["timeout"]["text"]
    assert (await execute(client, "x", contextId=context))["result"]["text"] == "1"


async def test_code_that_ignores_interrupts_is_killed_and_the_loss_is_told(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    stubborn = (
        "import os, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint(os.getpid())\ntime.sleep(60)"
    )
    answer = await execute(client, stubborn, contextId=context, timeout=0.3)
    assert "lost" in answer["timeout"]["text"]
    pids = {item["processId"] for item in (await client.get("/processes")).json()["items"]}
    assert answer["stdout"]["text"].strip() not in pids
    assert (await execute(client, "1 + 1", contextId=context))["result"]["text"] == "2"


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL (out of memory?)"),
    ],
)
async def test_how_an_interpreter_died_is_told(client: httpx.AsyncClient, code: str, how: str) -> None:
    *_, error, end = await results(client, f"print('last words', flush=True)\n{code}")
    assert (error["name"], end["status"]) == ("InterpreterExited", "error")
    assert how in error["text"]


async def test_a_dead_interpreter_is_told_and_replaced(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    answer = await execute(client, "import os; os._exit(7)", contextId=context)
    assert answer["error"]["value"] == "7"
    assert "lost" in answer["error"]["text"]
    assert (await execute(client, "1 + 1", contextId=context))["result"]["text"] == "2"


async def test_output_is_limited_and_says_so(client: httpx.AsyncClient) -> None:
    text = (await execute(client, "print('x' * 5_000_000)"))["stdout"]["text"]
    assert MEBIBYTE < len(text) < MEBIBYTE + 200
    assert "dropped" in text[-150:]


async def test_what_is_written_between_executions_comes_with_the_next_one(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    code = "import threading\nthreading.Timer(0.1, print, ['late']).start()"
    assert "stdout" not in await execute(client, code, contextId=context)
    await asyncio.sleep(0.3)
    assert (await execute(client, "print('next')", contextId=context))["stdout"]["text"] == "late\nnext\n"


async def test_endless_output_ends_with_the_time(client: httpx.AsyncClient) -> None:
    answer = await execute(client, "while True: print('x' * 100_000)", timeout=0.5)
    assert len(answer["stdout"]["text"]) < MEBIBYTE + 200
    assert answer["endOfExecution"]["status"] == "timeout"


async def test_result_text_is_limited(client: httpx.AsyncClient) -> None:
    assert len((await execute(client, "'x' * 5_000_000"))["result"]["text"]) < MEBIBYTE + 200


async def test_who_leaves_the_queue_is_not_executed(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    running = asyncio.create_task(execute(client, "import time; time.sleep(0.5); seen = []", contextId=context))
    await asyncio.sleep(0.1)
    impatient = asyncio.create_task(execute(client, "seen.append(1)", contextId=context))
    await asyncio.sleep(0.1)
    impatient.cancel()
    await running
    assert (await execute(client, "seen", contextId=context))["result"]["text"] == "[]"


async def test_who_leaves_a_running_execution_stops_it(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    await execute(client, "import time", contextId=context)
    running = asyncio.create_task(execute(client, "time.sleep(30)", contextId=context))
    await asyncio.sleep(0.3)
    running.cancel()
    answer = await asyncio.wait_for(execute(client, "time.__name__", contextId=context), 3)
    assert answer["result"]["text"] == "'time'"


async def test_interrupt_ends_the_code_and_keeps_the_state(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    await execute(client, "import time; x = 1", contextId=context)
    assert await post(client, f"/contexts/{context}/interrupt") == {"interrupted": False}
    running = asyncio.create_task(execute(client, "time.sleep(30)", contextId=context))
    await asyncio.sleep(0.2)
    assert await post(client, f"/contexts/{context}/interrupt") == {"interrupted": True}
    assert (await asyncio.wait_for(running, 3))["error"]["name"] == "KeyboardInterrupt"
    assert (await execute(client, "x", contextId=context))["result"]["text"] == "1"


async def test_restart_begins_afresh_and_ends_what_runs(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    await execute(client, "import time; x = 1", contextId=context)
    running = asyncio.create_task(execute(client, "time.sleep(30)", contextId=context))
    await asyncio.sleep(0.2)
    assert (await post(client, f"/contexts/{context}/restart"))["id"] == context
    assert "restarted" in (await asyncio.wait_for(running, 3))["error"]["text"]
    assert (await execute(client, "x", contextId=context))["error"]["name"] == "NameError"


async def test_output_of_contexts_does_not_mix(client: httpx.AsyncClient) -> None:
    contexts = [await new_context(client) for _ in range(3)]
    code = "import time\nfor _ in range(50):\n    print('{0}', flush=True); time.sleep(0.002)"
    answers = await asyncio.gather(*(execute(client, code.format(name), contextId=name) for name in contexts))
    assert [answer["stdout"]["text"] for answer in answers] == [f"{name}\n" * 50 for name in contexts]


async def test_executions_of_one_context_queue_and_others_run_beside_it(client: httpx.AsyncClient) -> None:
    first, second = await new_context(client), await new_context(client)
    for context in (first, second):
        await execute(client, "import time; seen = []", contextId=context)
    slow = "time.sleep(0.4); seen.append(1)"
    began = time.monotonic()
    answers = await asyncio.gather(
        execute(client, slow, contextId=first),
        execute(client, slow, contextId=second),
        execute(client, "len(seen)", contextId=first),
    )
    assert time.monotonic() - began < 0.75
    assert answers[2]["result"]["text"] == "1"


async def test_contexts_are_listed_described_and_deleted(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    expected = {"id": context, "language": "python", "cwd": "/home/user"}
    assert (await client.get(f"/contexts/{context}")).json() == expected
    assert expected in (await client.get("/contexts")).json()
    deleted = await client.delete(f"/contexts/{context}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await client.get(f"/contexts/{context}")).status_code == 404


async def test_deleting_a_context_ends_what_runs_in_it(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    running = asyncio.create_task(execute(client, "import time; time.sleep(30)", contextId=context))
    await asyncio.sleep(0.3)
    await client.delete(f"/contexts/{context}")
    assert "error" in await asyncio.wait_for(running, 5)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"code": "1", "language": "ruby"}, 400, ["ruby", "python", "bash"]),
        ({"code": "1", "contextID": "x"}, 400, ["contextID", "did you mean 'contextId'"]),
        ({"language": "python"}, 400, ["'code' is required"]),
        ({"code": 1}, 400, ["'code' must be a string"]),
        ({"code": "1", "timeout": -1}, 400, ["timeout"]),
        ({"code": "1", "contextId": "nope"}, 404, ["nope does not exist"]),
    ],
)
async def test_refusals_say_what_to_do(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, words: list[str]
) -> None:
    response = await client.post("/contexts/execute", json=body)
    answer = response.json()
    assert response.status_code == status
    assert answer["code"].startswith("ERR_")
    assert answer["requestId"]
    for word in words:
        assert word in answer["message"]


async def test_unknown_working_folder_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/contexts", json={"cwd": "/nowhere"})
    assert response.status_code == 400
    assert "/nowhere" in response.json()["message"]
