"""Record and replay from end to end: a foreign client, a provider over TCP, and the emulator between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agentrun.emulator import Emulator, RecordTo, ReplayFrom, Reply, ReplyError, Rule, Script, When
from agentrun.emulator.server import EmulatorError
from agentrun.gateway.recording.file import Recording
from tests.emulator import bodies
from tests.emulator.signed import MODEL_PROXIES, MODEL_SERVICES, Account, account_of, client_of
from tests.unit.servers import STREAM_HEAD, Behaviour, Line, Received, answer, chunk, raw, serving

AGENTRUN = [sys.executable, "-m", "agentrun"]
PATIENCE = 30.0
PAUSE = 0.2  # Long enough to be told from what a busy machine takes.
KEY = "key-of-the-provider"
CANARY = "sk-canary-0123456789abcdefghijklmnop"
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
PARTS = [EVENT[:20], EVENT[20:] + EVENT[:9], EVENT[9:], b"data: [DONE]\n\n"]
RULES = [
    Rule("weather", "It rains in Hangzhou, as it does in June."),
    Rule("busy", Reply(error=ReplyError(429, retry_after=0.01))),
    Rule(When(), lambda conversation: conversation.messages[-1].content),
]


@pytest.fixture(scope="module")
def provider() -> Iterator[Emulator]:
    """What stands for a real provider: the scripted model of another emulator, served by uvicorn."""
    with Emulator(script=Script(RULES)) as running:
        yield running


def provider_url(provider: Emulator) -> str:
    return f"{provider.url}/scripted/v1"


def record_to(path: Path, url: str, **more: Any) -> RecordTo:
    return RecordTo(path, url, KEY, **more)


def client(emulator: Emulator, key: str = "") -> openai.OpenAI:
    variables = emulator.environment()
    return openai.OpenAI(
        base_url=variables["OPENAI_BASE_URL"], api_key=key or variables["OPENAI_API_KEY"], max_retries=0, timeout=10
    )


def say(emulator: Emulator, text: str, model: str = "m") -> ChatCompletion:
    with client(emulator) as caller:
        return caller.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def streamed(emulator: Emulator, text: str) -> list[ChatCompletionChunk]:
    with client(emulator) as caller:
        answer = caller.chat.completions.create(
            model="m", messages=[{"role": "user", "content": text}], stream=True, stream_options={"include_usage": True}
        )
        return list(answer)


def transfer(emulator: Emulator) -> tuple[list[bytes], list[float], bool]:
    """The chunks of a streamed answer as they come over TCP, when each came, and whether the end came too."""
    variables = emulator.environment()
    headers = {"authorization": f"Bearer {variables['OPENAI_API_KEY']}"}
    chunks: list[bytes] = []
    seconds: list[float] = []
    began = time.monotonic()
    body: dict[str, Any] = {"model": "m", "stream": True, "messages": []}
    url = f"{variables['OPENAI_BASE_URL']}/chat/completions"
    with httpx.stream("POST", url, json=body, headers=headers, trust_env=False, timeout=10) as answer:
        for piece in answer.iter_raw():
            chunks.append(piece)
            seconds.append(time.monotonic() - began)
    return chunks, seconds, b"upstream_broke_off" not in chunks[-1]


def isolated(emulator: Emulator) -> bool:
    return emulator.receipt.isolated


def gaps(seconds: list[float]) -> list[float]:
    """What passed between one chunk and the next; the way to the first one has more to do with the machine."""
    return [after - before for before, after in pairwise(seconds)]


def parts_with_pauses(*, end: bytes) -> Behaviour:
    def behave(line: Line, _: Received) -> bool:
        line.send(STREAM_HEAD)
        for part in PARTS:
            line.send(chunk(part))
            line.wait(PAUSE)
        line.send(end)
        return False

    return behave


# A foreign client


def test_a_client_gets_from_the_recording_what_it_got_from_the_provider(provider: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Emulator(recording=record_to(path, provider_url(provider))) as emulator:
        live = (say(emulator, "weather"), streamed(emulator, "weather"), streamed(emulator, "天气"))
        with pytest.raises(openai.RateLimitError) as busy:
            say(emulator, "busy")
        assert emulator.receipt.to_json()["recording"] == {"file": str(path), "written": 4, "lost": 0}
        assert not emulator.receipt.isolated
    with Emulator(recording=ReplayFrom(path)) as emulator:
        again = (say(emulator, "weather"), streamed(emulator, "weather"), streamed(emulator, "天气"))
        with pytest.raises(openai.RateLimitError) as busy_again:
            say(emulator, "busy")
        receipt = emulator.receipt
    assert again == live
    assert len(again[1]) > 5
    assert busy_again.value.body == busy.value.body
    assert busy_again.value.response.headers["retry-after-ms"] == busy.value.response.headers["retry-after-ms"]
    assert receipt.isolated
    assert receipt.to_json()["recording"] == {
        "file": str(path),
        "sha256": Recording.load(path).digest,
        "exchanges": 4,
        "unused": 0,
    }


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b""], ids=["whole", "cut"])
def test_chunks_times_and_cuts_come_again_over_tcp(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "r.jsonl"
    with serving(parts_with_pauses(end=end)) as server:
        with Emulator(recording=record_to(path, f"{server.url}/v1")) as emulator:
            live, live_times, live_whole = transfer(emulator)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    with Emulator(recording=ReplayFrom(path, "original")) as emulator:
        again, again_times, again_whole = transfer(emulator)
    assert again == live
    assert [piece.data for piece in Recording.load(path).exchanges[0].pieces] == PARTS
    assert again_whole == live_whole == bool(end)
    assert gaps(again_times) == pytest.approx(gaps(live_times), abs=PAUSE / 2)
    assert gaps(again_times)[0] > PAUSE / 2


def test_each_error_of_a_provider_is_its_callers_own(tmp_path: Path) -> None:
    """Neither failures nor a provider that wants to be left alone keep the next call from it, or from the recording."""
    path = tmp_path / "r.jsonl"
    errors = [
        answer({"error": {"message": "down"}}, 500),
        answer({}, 429, {"retry-after": "60"}),
        raw(b"no HTTP\r\n\r\n"),
    ]

    def statuses(emulator: Emulator) -> list[int]:
        found: list[int] = []
        for _ in range(9):
            with pytest.raises(openai.APIStatusError) as failed:
                say(emulator, "x")
            found.append(failed.value.status_code)
        return found

    with serving(*errors, *errors, *errors) as server:
        with Emulator(recording=record_to(path, f"{server.url}/v1")) as emulator:
            live = statuses(emulator)
        assert len(server.requests) == 9
    assert live == [500, 429, 502] * 3
    with Emulator(recording=ReplayFrom(path, "original")) as emulator:
        assert statuses(emulator) == live


@pytest.mark.asyncio
async def test_many_callers_at_once_get_their_own_answers(provider: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def all_of(emulator: Emulator) -> list[str | None]:
        variables = emulator.environment()
        url, key = variables["OPENAI_BASE_URL"], variables["OPENAI_API_KEY"]
        async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as caller:
            asked = [
                caller.chat.completions.create(model="m", messages=[{"role": "user", "content": f"number {n}"}])
                for n in range(50)
            ]
            return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

    with Emulator(recording=record_to(path, provider_url(provider))) as emulator:
        assert await all_of(emulator) == [f"number {n}" for n in range(50)]
    with Emulator(recording=ReplayFrom(path)) as emulator:
        assert await all_of(emulator) == [f"number {n}" for n in range(50)]
        assert emulator.receipt.isolated


def test_no_secret_reaches_the_file(provider: Emulator, tmp_path: Path) -> None:
    """The provider's key, a known form, a stored credential, an access key's secret: said, streamed and in pieces."""
    path = tmp_path / "r.jsonl"
    secrets = {"key": KEY, "form": CANARY, "stored": "credential without a form", "access": "secret of an access key"}
    text = " and ".join(secrets.values())
    with (
        Emulator(
            recording=record_to(path, provider_url(provider)), access_keys={"alice": secrets["access"]}
        ) as emulator,
        client_of(emulator) as caller,
    ):
        stored = bodies.credential(credentialSecret=secrets["stored"])
        account_of(emulator, caller).done("POST", "/2025-09-10/agents/credentials", stored)
        own = emulator.environment()["OPENAI_API_KEY"]
        assert say(emulator, f"{text} and {own}").choices[0].message.content == f"{text} and {own}"
        streamed(emulator, text)
    written = path.read_text()
    assert len(Recording.load(path).exchanges) == 2
    parts = [part for secret in (*secrets.values(), own) for part in (secret[:12], secret[-12:])]
    assert [part for part in parts if part in written] == []
    assert "<api-key:5>" in written


def test_mail_addresses_stay_unless_they_shall_go(provider: Emulator, tmp_path: Path) -> None:
    for redact in ((), ("email",)):
        path = tmp_path / f"{len(redact)}.jsonl"
        with Emulator(recording=record_to(path, provider_url(provider), redact=redact)) as emulator:
            say(emulator, "ask bob@example.com")
        assert ("bob@" in path.read_text()) is not bool(redact)
        with Emulator(recording=ReplayFrom(path)) as emulator:
            assert say(emulator, "ask bob@example.com").choices[0].message.content == "ask bob@example.com"
    with pytest.raises(EmulatorError, match="no type 'shoes' to remove: choose of email, phone"):
        Emulator(recording=record_to(tmp_path / "x", provider_url(provider), redact=("shoes",))).start()


# Who may, and what is refused


def test_while_it_records_only_who_has_the_key_of_the_run_may_spend_money(provider: Emulator, tmp_path: Path) -> None:
    with Emulator(recording=record_to(tmp_path / "r.jsonl", provider_url(provider))) as emulator:
        with client(emulator, "any") as caller, pytest.raises(openai.AuthenticationError):
            caller.chat.completions.create(model="m", messages=[])
        assert emulator.receipt.total == 0


def test_only_the_models_that_were_named_are_asked(provider: Emulator, tmp_path: Path) -> None:
    recording = record_to(tmp_path / "r.jsonl", provider_url(provider), models=("m", "n"))
    with Emulator(recording=recording) as emulator:
        with client(emulator) as caller:
            assert {"m", "n"} <= {model.id for model in caller.models.list()}
        with pytest.raises(openai.NotFoundError, match="'m', 'n'"):
            say(emulator, "x", model="expensive")
        assert say(emulator, "x", model="n").model == "n"
    with Emulator(recording=ReplayFrom(tmp_path / "r.jsonl")) as emulator, client(emulator) as caller:
        assert "n" in {model.id for model in caller.models.list()}


def test_what_was_not_recorded_is_refused_with_the_nearest_and_the_command(provider: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Emulator(recording=record_to(path, provider_url(provider))) as emulator:
        say(emulator, "How is the weather?")
    with Emulator(recording=ReplayFrom(path)) as emulator:
        with pytest.raises(openai.NotFoundError) as missed:
            say(emulator, "How is the wether?")
        assert missed.value.code == "not_recorded"
        assert "- How is the weather?\n    + How is the wether?" in missed.value.message
        assert f"agentrun emulator record --model m --out {path} --overwrite -- COMMAND" in missed.value.message
        say(emulator, "How is the weather?")
        assert not emulator.receipt.isolated
        assert emulator.receipt.reason == "of 2 model calls 1 refused, because the recording does not have it"


def test_the_scripted_model_stays_and_counts_as_what_it_is(provider: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Emulator(recording=record_to(path, provider_url(provider))) as emulator:
        say(emulator, "x")
    with Emulator(recording=ReplayFrom(path)) as emulator:
        say(emulator, "x")
        assert isolated(emulator)
        with openai.OpenAI(base_url=f"{emulator.url}/scripted/v1", api_key="any") as caller:
            caller.models.list()
            assert isolated(emulator)
            caller.chat.completions.create(model="toy", messages=[{"role": "user", "content": "x"}])
        assert not isolated(emulator)
        # To forget what a run has called would make it look better than it was.
        emulator.reset()
        assert emulator.receipt.to_json()["models"]["toy"]["scripted"] == 1


def test_a_run_without_calls_is_not_isolated(emulator: Emulator, tmp_path: Path) -> None:
    with Emulator() as fresh:
        assert (fresh.receipt.total, fresh.receipt.isolated) == (0, False)
        assert fresh.receipt.to_json()["recording"] is None
        refused = httpx.post(f"{fresh.url}/recorded/v1/chat/completions", json={}, trust_env=False)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_recording")
        assert [entry.operation for entry in fresh.journal.entries()] == ["recorded"]


def test_the_recording_of_a_running_emulator_can_change(provider: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Emulator() as emulator:
        emulator.recording = record_to(path, provider_url(provider))
        say(emulator, "x")
        emulator.recording = ReplayFrom(path)
        assert emulator.receipt.total == 0
        say(emulator, "x")
        assert isolated(emulator)
        with pytest.raises(EmulatorError, match="cannot be read"):
            emulator.recording = ReplayFrom(tmp_path / "none.jsonl")
        assert "/scripted/" in emulator.environment()["OPENAI_BASE_URL"]


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (ReplayFrom("none.jsonl"), "none.jsonl cannot be read"),
        (ReplayFrom("none.jsonl", "fast"), "no speed 'fast': choose of original, at-once"),
        (RecordTo("r.jsonl", "ftp://x"), "'ftp://x' is not an http:// or https:// URL"),
        (RecordTo(__file__, "http://x"), "exists"),
    ],
)
def test_an_emulator_that_cannot_use_its_recording_does_not_start(
    chosen: RecordTo | ReplayFrom, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmulatorError) as refused:
        Emulator(recording=chosen).start()
    assert text in str(refused.value)
    assert list(tmp_path.iterdir()) == []


# The platform's own proxies


@contextlib.contextmanager
def proxied(recording: RecordTo | ReplayFrom | None, url: str) -> Generator[tuple[Emulator, Account]]:
    """An emulator with a model service at this URL, and a proxy before it."""
    with Emulator(recording=recording) as emulator, client_of(emulator) as caller:
        account = account_of(emulator, caller)
        settings = {"baseUrl": url, "apiKey": CANARY, "modelNames": ["m"]}
        account.done("POST", MODEL_SERVICES, bodies.model_service(providerSettings=settings))
        endpoint = {"modelServiceName": "model", "modelNames": ["m"]}
        account.done("POST", MODEL_PROXIES, bodies.model_proxy(proxyConfig={"endpoints": [endpoint]}))
        yield emulator, account


def ask_proxy(account: Account) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": f"keep {CANARY}"}]}
    answer = account.data("POST", "/models/proxy/v1/chat/completions", json.dumps(body).encode())
    assert answer.status_code == 200, answer.text
    content: str = answer.json()["choices"][0]["message"]["content"]
    return content


def test_calls_of_model_proxies_are_recorded_and_replayed_too(provider: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with proxied(record_to(path, "http://127.0.0.1:1"), provider_url(provider)) as (emulator, account):
        assert ask_proxy(account) == f"keep {CANARY}"
        assert emulator.receipt.to_json()["models"]["m"]["upstream"] == 1
    assert CANARY not in path.read_text()
    with proxied(ReplayFrom(path), "http://127.0.0.1:1") as (emulator, account):
        assert ask_proxy(account) == f"keep {CANARY}"
        assert isolated(emulator)


def test_calls_of_model_proxies_count_without_a_recording(provider: Emulator) -> None:
    with proxied(None, provider_url(provider)) as (emulator, account):
        ask_proxy(account)
        assert emulator.receipt.reason == "of 1 model call 1 sent to a real provider"


def test_a_proxy_before_the_scripted_model_of_the_same_emulator_counts_once() -> None:
    with Emulator() as emulator, client_of(emulator) as caller:
        account = account_of(emulator, caller)
        own = {"baseUrl": f"{emulator.url}/scripted/v1", "apiKey": "k", "modelNames": ["m"]}
        account.done("POST", MODEL_SERVICES, bodies.model_service(providerSettings=own))
        endpoint = {"modelServiceName": "model", "modelNames": ["m"]}
        account.done("POST", MODEL_PROXIES, bodies.model_proxy(proxyConfig={"endpoints": [endpoint]}))
        assert ask_proxy(account) == f"keep {CANARY}"
        assert emulator.receipt.reason == "of 1 model call 1 answered by the scripted model"


# The command line

ASK = """
import sys, time
from openai import OpenAI
began = time.monotonic()
for text in sys.argv[1:]:
    answer = OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
    print(answer.choices[0].message.content)
if "timed" in sys.argv:
    print(time.monotonic() - began)
"""


@dataclass
class Shell:
    """A folder with a program, and an environment in which a provider is known."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*AGENTRUN, "emulator", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def asking(self, *texts: str) -> list[str]:
        return ["--", sys.executable, "ask.py", *texts]


@pytest.fixture
def shell(provider: Emulator, tmp_path: Path) -> Shell:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    (tmp_path / "ask.py").write_text(ASK)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTRUN_", "OPENAI_"))}
    provided = {"OPENAI_BASE_URL": provider_url(provider), "OPENAI_API_KEY": KEY}
    return Shell(tmp_path, {**kept, "XDG_RUNTIME_DIR": str(runtime), "NO_COLOR": "1", **provided})


def test_record_and_replay_of_a_command(shell: Shell) -> None:
    done = shell.run("record", "--model", "m", "--out", "r.jsonl", *shell.asking("weather", f"say {KEY} twice"))
    assert (done.returncode, done.stderr) == (0, f"agentrun: 2 model calls are recorded in {shell.folder}/r.jsonl\n")
    written = (shell.folder / "r.jsonl").read_text()
    assert KEY not in written
    replay = ["exec", "--replay", "r.jsonl", "--receipt", "receipt.json"]
    again = shell.run(*replay, *shell.asking("weather"))
    assert (again.returncode, again.stdout) == (0, "It rains in Hangzhou, as it does in June.\n")
    assert again.stderr == (
        "agentrun: isolated: 1 model call, every one served from the recording\n"
        f"agentrun: the receipt is in {shell.folder}/receipt.json\n"
    )
    receipt = json.loads((shell.folder / "receipt.json").read_text())
    assert (receipt["isolated"], receipt["recording"]["unused"]) == (True, 1)
    missed = shell.run(*replay, *shell.asking("wether"))
    assert missed.returncode == 1
    assert "- weather\n    + wether" in missed.stderr
    assert "agentrun: not isolated: of 1 model call 1 refused" in missed.stderr
    assert not json.loads((shell.folder / "receipt.json").read_text())["isolated"]


def test_the_exit_status_is_the_commands_and_no_call_is_told(shell: Shell) -> None:
    done = shell.run("record", "--out", "r.jsonl", "--", "sh", "-c", "exit 7")
    assert (done.returncode, done.stderr) == (7, f"agentrun: 0 model calls are recorded in {shell.folder}/r.jsonl\n")
    again = shell.run("exec", "--replay", "r.jsonl", "--", "sh", "-c", "exit 8")
    assert (again.returncode, again.stderr) == (8, "agentrun: not isolated: no model was called\n")


def test_the_original_speed_and_no_repetition_can_be_chosen(shell: Shell) -> None:
    slow = "script = Script([Rule(When(), Reply('late', delay=1.5))])"
    (shell.folder / "slow.py").write_text(f"from agentrun.emulator import Reply, Rule, Script, When\n{slow}\n")
    # The provider of this test is the slow scripted model of the emulator outside.
    inner = ["env", f"OPENAI_API_KEY={KEY}", *AGENTRUN, "emulator", "record", "--out", "r.jsonl"]
    assert shell.run("exec", "--script", "slow.py", "--", *inner, *shell.asking("timed")).stdout.startswith("late\n")
    for options, least in ((["--speed", "original"], 1.5), ([], 0.0)):
        text, seconds = shell.run("exec", "--replay", "r.jsonl", *options, *shell.asking("timed")).stdout.split()
        assert text == "late"
        assert least <= float(seconds) < least + 1.5
    assert shell.run("exec", "--replay", "r.jsonl", *shell.asking("timed", "timed")).returncode == 0
    used_up = shell.run("exec", "--replay", "r.jsonl", "--no-repeat", *shell.asking("timed", "timed"))
    assert used_up.returncode == 1
    assert "all of its answers were given" in used_up.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["record", "--out", "ask.py", "--", "true"], "ask.py exists: choose another file, or overwrite it"),
        (["record", "--out", "r.jsonl", "--api-key-env", "NO_KEY", "--", "true"], "NO_KEY is not set"),
        (["record", "--out", "r.jsonl", "--redact", "shoes", "--", "true"], "there is no type 'shoes'"),
        (["record", "--out", "r.jsonl", "--replay", "x", "--", "true"], "either recorded or replayed"),
        (["record", "--out", "r.jsonl", "--service", "s", "--", "true"], "gateway.yaml cannot be read"),
        (["exec", "--replay", "none.jsonl", "--", "true"], "none.jsonl cannot be read"),
        (["exec", "--replay", "ask.py", "--", "true"], "ask.py is no recording"),
        (["exec", "--replay", "ask.py", "--speed", "fast", "--", "true"], "there is no speed 'fast'"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(shell: Shell, arguments: list[str], text: str) -> None:
    done = shell.run(*arguments)
    assert done.returncode == 1
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (shell.folder / "r.jsonl").exists()


def test_the_provider_can_be_a_service_of_a_gateways_file(shell: Shell, provider: Emulator) -> None:
    file = (
        f"services: {{there: {{base_url: '{provider_url(provider)}', api_key: '${{PROVIDER_KEY}}'}}}}\nproxies: {{}}\n"
    )
    (shell.folder / "gateway.yaml").write_text(file)
    shell.environment |= {"PROVIDER_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:1", "OPENAI_API_KEY": "another"}
    done = shell.run("record", "--service", "there", "--out", "r.jsonl", *shell.asking("weather"))
    assert (done.returncode, done.stdout) == (0, "It rains in Hangzhou, as it does in June.\n")


def test_an_emulator_that_stays_replays_too_and_tells_its_receipt(shell: Shell) -> None:
    shell.run("record", "--out", "r.jsonl", *shell.asking("weather"))
    started = shell.run("up", "--detach", "--port", "0", "--replay", "r.jsonl", "--receipt", "receipt.json")
    assert started.returncode == 0, started.stderr
    try:
        assert json.loads(shell.run("receipt").stdout)["calls"]["total"] == 0
        shell.run("exec", "--running", *shell.asking("weather"))
        told = json.loads(shell.run("receipt").stdout)
    finally:
        assert shell.run("down").returncode == 0
    assert told["isolated"]
    assert json.loads((shell.folder / "receipt.json").read_text()) == told


def test_a_crash_while_recording_costs_the_exchange_under_way(shell: Shell, tmp_path: Path) -> None:
    """The emulator is killed in the middle of an answer; what was answered before it is replayed."""
    whole, endless = Event(), Event()

    def behave(line: Line, request: Received) -> bool:
        if b"first" in request.body:
            body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "one"}}]}).encode()
            line.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            whole.set()
            return True
        line.send(STREAM_HEAD + chunk(PARTS[0]))
        endless.set()
        line.wait(PATIENCE)
        return False

    with serving(behave) as server:
        command = [*AGENTRUN, "emulator", "record", "--out", "r.jsonl", "--base-url", f"{server.url}/v1"]
        running = subprocess.Popen(
            [*command, *shell.asking("first", "second")],
            cwd=shell.folder,
            env=shell.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert whole.wait(PATIENCE)
        assert endless.wait(PATIENCE)
        [record] = Path(shell.environment["XDG_RUNTIME_DIR"]).glob("agentrun/*.json")
        os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
        running.wait(PATIENCE)
    [kept] = Recording.load(tmp_path / "r.jsonl").exchanges
    assert kept.request["messages"] == [{"role": "user", "content": "first"}]
    assert shell.run("exec", "--replay", "r.jsonl", *shell.asking("first")).stdout == "one\n"
