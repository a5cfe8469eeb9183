"""Sandboxes in which the code of smolagents' code agents runs: `CodeAgent(executor=AgentRunExecutor("my-template"))`.

Variables stay from step to step. Tools with nothing but their source are sent into the sandbox, as smolagents does it.
Tools of the platform stay here with their connections and keys: in the sandbox is a function that asks for a call.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import PurePosixPath
from textwrap import dedent, indent
from typing import Any
from uuid import uuid4

from agentrun._core.closing import Closing, close_at_exit
from agentrun.config import Config
from agentrun.integration._extra import framework
from agentrun.integration._outcome import as_json
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.contexts import ContextOperations
from agentrun.sandbox.data import EXECUTE_SECONDS
from agentrun.sandbox.mime import Result
from agentrun.sandbox.result import ExecutionResult, ProcessResult
from agentrun.sandbox.toolset import SandboxToolSet

with framework("smolagents", "smolagents", "PIL"):
    import PIL.Image
    from smolagents import AgentLogger, FinalAnswerTool, LogLevel
    from smolagents.local_python_executor import CodeOutput
    from smolagents.remote_executors import RemotePythonExecutor
    from smolagents.utils import AgentError

from agentrun.integration.smolagents import AgentRunTool

FINAL_ANSWER = "final_answer"
CODE_SECONDS = 300
INSTALL_SECONDS = 600
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5  # Seconds from one look for calls of tools to the next.
_CALL = re.compile(r"[0-9a-f]{32}\.call")
# What in the sandbox stands for our tools: a call is a file, and so is its answer; each is there at once or not at all.
_BRIDGE = """
def _agentrun_tool(_name, _inputs, _folder={folder!r}):
    import base64, io, json, os, time, uuid

    def read(value):
        if isinstance(value, dict) and set(value) == {{"__picture__"}}:
            import PIL.Image
            return PIL.Image.open(io.BytesIO(base64.b64decode(value["__picture__"])))
        return [read(each) for each in value] if isinstance(value, list) else value

    def tool(*values, **arguments):
        if len(values) > len(_inputs):
            raise TypeError(f"{{_name}}() takes {{len(_inputs)}} arguments, not {{len(values)}}")
        place = os.path.join(_folder, uuid.uuid4().hex)
        with open(place + ".part", "w") as file:
            json.dump({{"tool": _name, "arguments": {{**dict(zip(_inputs, values)), **arguments}}}}, file)
        os.rename(place + ".part", place + ".call")
        while not os.path.exists(place + ".answer"):
            time.sleep(0.01)
        with open(place + ".answer") as file:
            answer = json.load(file)
        os.remove(place + ".answer")
        if "error" in answer:
            raise type(answer["error"], (Exception,), {{}})(answer["message"])
        return read(answer["value"])

    tool.__name__ = _name
    return tool
"""


class AgentRunExecutor(RemotePythonExecutor, Closing):  # type: ignore[misc] # smolagents ships no types.
    """Runs code in a sandbox, which is made from a template when there is first something to run.

    Instead of a template's name it takes a sandbox that exists and stays the caller's. Code may run for `timeout`
    seconds a step. `with CodeAgent(...)`, `cleanup` of the agent or `close` delete the sandbox. A sandbox that has
    ended raises SandboxTerminatedError and is never replaced. The other options are those of Sandbox.create.
    """

    def __init__(
        self,
        sandbox: str | CodeInterpreterSandbox,
        additional_imports: Sequence[str] = (),
        logger: AgentLogger | None = None,
        allow_pickle: bool = False,
        *,
        timeout: int = CODE_SECONDS,
        sandbox_idle_timeout_seconds: int = 600,
        config: Config | None = None,
        **options: Any,
    ) -> None:
        super().__init__(list(additional_imports), logger or AgentLogger(level=LogLevel.OFF), allow_pickle)
        if isinstance(sandbox, CodeInterpreterSandbox):
            self._sandboxed = SandboxToolSet(sandbox)
        else:
            self._sandboxed = SandboxToolSet.of_template(
                sandbox, sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds, config=config, **options
            )
        self._timeout = timeout
        self._context: ContextOperations | None = None
        self._folder = PurePosixPath("/tmp") / f"agentrun-{uuid4().hex}"
        self._ours: dict[str, AgentRunTool] = {}
        self._served: set[str] = set()
        close_at_exit(self)

    @property
    def sandbox(self) -> CodeInterpreterSandbox:
        """The sandbox, which is created when that has not been done."""
        return self._sandboxed.sandbox()

    # What smolagents asks for

    def send_tools(self, tools: Mapping[str, Any]) -> None:
        """Make tools callable for the code: ours by a call from there to here, others by their source."""
        self._ours = {name: tool for name, tool in tools.items() if isinstance(tool, AgentRunTool)}
        rest = {name: _as_given(tool) for name, tool in tools.items() if name not in self._ours}
        if type(rest.get(FINAL_ANSWER)) is FinalAnswerTool:
            del rest[FINAL_ANSWER]
            self.run_code_raise_errors(self._final_answer())
        if rest:
            super().send_tools(rest)
        if self._ours:
            self._command(f"mkdir -p {self._folder}").raise_on_error()
            made = [f"{name} = _agentrun_tool({name!r}, {list(tool.inputs)!r})" for name, tool in self._ours.items()]
            self.run_code_raise_errors("\n".join([_BRIDGE.format(folder=str(self._folder)), *made]))

    def _final_answer(self) -> str:
        # What smolagents sends, without the class around it: to read a class it parses whole modules, which fails in
        # threads of Python 3.11, and it changes the agent's tool.
        tool = FinalAnswerTool()
        self._patch_final_answer_with_exception(tool)
        methods = [dedent(method.__source__) for method in (type(tool).forward, type(tool)._forward)]
        body = indent("\n".join([*methods, "__call__ = forward"]), "    ")
        return f"from typing import Any\nclass _FinalAnswer:\n{body}\n{FINAL_ANSWER} = _FinalAnswer()"

    def install_packages(self, additional_imports: list[str]) -> list[str]:
        """Install packages in the sandbox; raises AgentError with what went wrong."""
        if additional_imports:
            ended = self._command(f"python3 -m pip install --quiet {shlex.join(additional_imports)}", INSTALL_SECONDS)
            if ended.exit_code:
                raise AgentError(f"{additional_imports} could not be installed: {ended.stderr}", self.logger)
        return additional_imports

    def run_code_raise_errors(self, code: str) -> CodeOutput:
        """Run code; raises AgentError when it fails, and what our own calls raise."""
        ended = self._ended(self._prepared(), code)
        logs = ended.stdout + ended.stderr
        error = ended.error
        if error is None:
            return CodeOutput(output=_value(ended.outputs), logs=logs, is_final_answer=False)
        if error.get("name") == self.FINAL_ANSWER_EXCEPTION:
            answer = self._deserialize_final_answer(str(error.get("value")), self.allow_pickle)
            return CodeOutput(output=answer, logs=logs, is_final_answer=True)
        raise AgentError(f"{logs}\n{_told(error, self._timeout)}".lstrip(), self.logger)

    def cleanup(self) -> None:
        """Delete the sandbox, if it was created here."""
        self.close()

    async def close_async(self) -> None:
        """Delete the sandbox, if it was created here; calling it twice is allowed."""
        await self._sandboxed.close_async()

    # Code, and the calls that it makes

    def _prepared(self) -> ContextOperations:
        if self._context is None:
            self._context = self._sandboxed.use(lambda sandbox: sandbox.context.create_async())
            self.installed_packages = self.install_packages(self.additional_imports)
        return self._context

    def _ended(self, context: ContextOperations, code: str) -> ExecutionResult:
        """What code came to; while it runs, its calls of our tools are served, in this thread and its session."""

        def run() -> ExecutionResult:
            return self._sandboxed.use(lambda _: context.execute_async(code, timeout=self._timeout))

        if not self._ours:
            return run()
        with ThreadPoolExecutor(1) as pool:
            running, seconds = pool.submit(run), _FIRST_LOOK
            while not wait([running], seconds).done:
                seconds = _FIRST_LOOK if self._serve() else min(seconds * 1.5, _LAST_LOOK)
            return running.result()

    def _serve(self) -> bool:
        listed = self._command(f"ls {self._folder}").stdout.split()
        calls = [name for name in listed if _CALL.fullmatch(name) and name not in self._served]
        for name in calls:
            self._served.add(name)
            self._answer(self._folder / name)
        return bool(calls)

    def _answer(self, place: PurePosixPath) -> None:
        asked = json.loads(self._sandboxed.use(lambda sandbox: sandbox.file.read_bytes_async(str(place))))
        part, answer = place.with_suffix(".part"), json.dumps(self._outcome(asked)).encode()
        self._sandboxed.use(lambda sandbox: sandbox.file.write_bytes_async(str(part), answer))
        self._command(f"rm -f {place}; mv {part} {place.with_suffix('.answer')}").raise_on_error()

    def _command(self, line: str, seconds: int = EXECUTE_SECONDS) -> ProcessResult:
        return self._sandboxed.use(lambda sandbox: sandbox.process.cmd_async(line, timeout=seconds))

    def _outcome(self, asked: Any) -> dict[str, Any]:
        try:
            return {"value": _sent(self._ours[asked["tool"]](**asked["arguments"]))}
        except Exception as error:  # Whatever it is, it is the code's to know.
            return {"error": type(error).__name__, "message": str(error)}


def _as_given(tool: Any) -> Any:
    """A tool as its user gave it: for the final answer smolagents makes another of it, each run anew."""
    if hasattr(type(tool), "_forward"):
        tool.__class__ = type(tool).__base__
    return tool


def _value(outputs: Sequence[Result]) -> Any:
    """What the code's last line gave, or the last picture that it showed."""
    for output in [*(each for each in outputs if not each.display), *reversed(outputs)]:
        shown = output.png or output.jpeg
        if shown is not None:
            return PIL.Image.open(io.BytesIO(shown))
        if not output.display:
            return output.text
    return None


def _told(error: Mapping[str, Any], seconds: int) -> str:
    if error.get("type") == "timeout":
        return f"The code took longer than {seconds} seconds."
    return str(error.get("traceback") or error.get("text") or f"{error.get('name')}: {error.get('value')}")


def _sent(value: Any) -> Any:
    """A value as JSON; pictures, which may be in a list, as what the other side makes pictures of."""
    if isinstance(value, list):
        return [_sent(each) for each in value]
    if not isinstance(value, PIL.Image.Image):
        return as_json(value)
    buffer = io.BytesIO()
    value.save(buffer, format="PNG")
    return {"__picture__": base64.b64encode(buffer.getvalue()).decode()}
