"""A function that runs in a sandbox: its source and its arguments go there, its result comes back as JSON."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agentrun.errors import InvalidInputError, SandboxError, ToolError
from agentrun.integration._body import Body
from agentrun.integration._function import from_function
from agentrun.integration._outcome import as_json
from agentrun.integration._session import current_session
from agentrun.integration._signature import innermost
from agentrun.integration._tool import Tool
from agentrun.sandbox.toolset import SandboxToolSet

if TYPE_CHECKING:
    from agentrun.integration.builtin.sandbox import SessionSandboxes

SECONDS = 60
# The function may print what it likes; its result is on a line of its own, behind a mark made for this call.
_RUN = """
import asyncio as _asyncio, inspect as _inspect, json as _json
_value = {name}(**_json.loads({arguments!r}))
if _inspect.isawaitable(_value):
    _value = _asyncio.new_event_loop().run_until_complete(_value)
if _inspect.isgenerator(_value):
    _value = list(_value)
print({mark!r} + _json.dumps(_value))
"""


def in_sandbox(
    tool: Tool | Callable[..., Any],
    sandboxes: SandboxToolSet | SessionSandboxes,
    *,
    imports: Sequence[str] = (),
    timeout: int = SECONDS,
) -> Tool:
    """The same tool, whose function runs in a sandbox, each time afresh and for at most `timeout` seconds.

    The function must be self-contained: it uses its arguments, what it imports itself, and what `imports` names, such
    as `"import math"`. Arguments are checked here and arrive as JSON, and the result must be JSON. What the function
    raises comes back as ToolError with the traceback as its hint. `sandboxes` is a SandboxToolSet, or SessionSandboxes
    for a sandbox of each agent's session. Raises InvalidInputError for a function that cannot be sent.
    """
    whole = tool if isinstance(tool, Tool) else from_function(tool)
    body = whole.perform
    if not isinstance(body, Body):
        raise InvalidInputError(f"the tool {whole.name} is no function", field="tool", hint="Give a function")
    name, source = _sent(body.function)
    preamble = "\n".join([*imports, source])

    async def perform(arguments: dict[str, Any]) -> Any:
        positional, keywords = body.read(whole.name, arguments)
        if positional:
            keywords = {**dict(zip(inspect.signature(body.function).parameters, positional, strict=False)), **keywords}
        mark = f"result-{uuid4().hex}:"
        code = preamble + _RUN.format(name=name, arguments=json.dumps(as_json(keywords)), mark=mark)
        found = _of_session(sandboxes)
        answer = await found.tool("run_code").perform({"code": code, "timeout": timeout})
        return _result(whole.name, answer, mark)

    return replace(whole, perform=perform)


def _of_session(sandboxes: SandboxToolSet | SessionSandboxes) -> SandboxToolSet:
    return sandboxes if isinstance(sandboxes, SandboxToolSet) else sandboxes.of_session(current_session())


def _sent(function: Callable[..., Any]) -> tuple[str, str]:
    """The name and the source of a function, without its decorators and hints, which need not exist over there."""
    inner = inspect.unwrap(innermost(function))
    if function is not innermost(function) or inspect.ismethod(inner) or not inspect.isfunction(inner):
        raise InvalidInputError(f"{function!r} cannot be sent to a sandbox", hint="Give a function defined by `def`")
    if inner.__code__.co_freevars:
        names = ", ".join(inner.__code__.co_freevars)
        raise InvalidInputError(
            f"{inner.__name__} uses {names} from around it, which is not in the sandbox", hint="Make it an argument"
        )
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inner)))
    except (OSError, SyntaxError) as error:
        raise InvalidInputError(
            f"the source of {inner.__name__} cannot be found", hint="Define it in a file"
        ) from error
    defined = tree.body[0]
    if not isinstance(defined, (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise InvalidInputError(f"{inner.__name__} is not defined by `def`", hint="Give a function defined by `def`")
    return defined.name, ast.unparse(_plain(defined))


def _plain(defined: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.FunctionDef | ast.AsyncFunctionDef:
    defined.decorator_list = []
    defined.returns = None
    listed = defined.args
    for argument in (*listed.posonlyargs, *listed.args, *listed.kwonlyargs):
        argument.annotation = None
    # All are given by name, and defaults are filled in before.
    listed.args = [*listed.posonlyargs, *listed.args]
    listed.posonlyargs, listed.defaults = [], []
    listed.kw_defaults = [None for _ in listed.kwonlyargs]
    return defined


def _result(tool: str, answer: dict[str, Any], mark: str) -> Any:
    _, marked, rest = str(answer.get("stdout") or "").rpartition(mark)
    if answer.get("error") is None and marked:
        return json.loads(rest.partition("\n")[0])
    if answer.get("error") is None:
        raise SandboxError(f"{tool} ended in the sandbox without a result")
    raise ToolError(str(answer["error"]), tool=tool, hint=answer.get("traceback"))
