"""Processes and terminals over HTTP and websockets."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from agentrun.emulator.guest import fields, files, processes, proctable, pty, signals
from agentrun.emulator.guest.errors import BadRequest
from agentrun.emulator.guest.events import EventStream, unless_gone
from agentrun.emulator.guest.paths import check_folder, home, resolve
from agentrun.emulator.guest.processes import Command, Processes

RUN = ("command", "cwd", "timeout", "env", "stdin", "stream")
START = ("command", "argv", "cwd", "env", "tag", "stdin", "timeout")
TERMINAL = ("protocol", "command", "cwd", "columns", "rows")
MAX_LINES = 1_000_000


class ProcessesAPI:
    """The endpoints, and what was started in the background."""

    def __init__(self) -> None:
        self._processes = Processes()

    def close(self) -> None:
        """End what was started in the background."""
        self._processes.close()

    async def run(self, request: Request) -> Response:
        body = await fields.body(request, RUN)
        argv = processes.shell_command(body.required("command", str))
        command = Command(argv, _cwd(body), body.mapping("env"), stdin=body.maybe("stdin", str))
        if body.optional("stream", bool, False):
            return EventStream(await processes.run_streaming(command, body.timeout()))
        return JSONResponse(await unless_gone(request, processes.run_to_end(command, body.timeout())))

    async def start(self, request: Request) -> Response:
        body = await fields.body(request, START)
        timeout = body.timeout() if body.maybe("timeout", float) is not None else None
        stdin = body.optional("stdin", bool, False)
        command = Command(_argv(body), _cwd(body), body.mapping("env"), open_stdin=stdin)
        process = await self._processes.start(command, body.maybe("tag", str), timeout)
        return JSONResponse(process.item())

    async def list_all(self, _request: Request) -> Response:
        return JSONResponse(self._processes.list_all())

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._processes.get(_pid(request)))

    async def end(self, request: Request) -> Response:
        pid = _pid(request)
        number = signals.parse(fields.query(request, ("signal",)).optional("signal", str, "SIGKILL"))
        stopped = await signals.end(pid, number)
        message = f"process {pid} was ended" if stopped else f"process {pid} was signalled but has not ended yet"
        return JSONResponse({"pid": str(pid), "stopped": stopped, "stopped_at": proctable.now(), "message": message})

    async def signal(self, request: Request) -> Response:
        pid = _pid(request)
        body = await fields.body(request, ("signal",))
        value = body.values.get("signal")
        number = signals.parse(value if isinstance(value, int) else body.required("signal", str))
        signals.send(pid, number)
        return JSONResponse({"processId": str(pid), "signal": number.name})

    async def write(self, request: Request) -> Response:
        process = self._processes.find(_pid(request))
        body = await fields.body(request, ("data", "encoding", "close"))
        data = files.decode(body.optional("data", str, ""), body.optional("encoding", str, "utf-8"))
        written = await unless_gone(request, process.write(data, close=body.optional("close", bool, False)))
        return JSONResponse({"processId": str(process.pid), "size": written})

    async def output(self, request: Request) -> Response:
        process = self._processes.find(_pid(request))
        query = fields.query(request, ("follow", "tail"))
        lines = None if query.maybe("tail", str) is None else query.number("tail", 0, least=0, most=MAX_LINES)
        return EventStream(process.events(lines, follow=query.flag("follow")))

    async def wait(self, request: Request) -> Response:
        process = self._processes.find(_pid(request))
        seconds = fields.query(request, ("timeout",)).seconds("timeout", fields.DEFAULT_TIMEOUT)
        await unless_gone(request, process.wait(seconds))
        return JSONResponse({"processId": str(process.pid), "status": process.status, **process.result()})

    async def terminal(self, socket: WebSocket) -> None:
        query = fields.query(socket, TERMINAL)
        protocol = pty.PROTOCOLS.get(query.optional("protocol", str, "json"))
        if protocol is None:
            raise BadRequest("protocol must be json or text")
        size = pty.size(query.number("columns", 80), query.number("rows", 24))
        text, cwd = query.optional("command", str, ""), _cwd(query)
        argv = processes.shell_command(text) if text else [processes.shell(), "-l"]
        terminal = await pty.Terminal.start(argv, cwd, size)
        try:
            await socket.accept()
        except BaseException:
            await terminal.close()
            raise
        await pty.converse(terminal, socket, protocol(terminal, socket))

    def routes(self) -> list[BaseRoute]:
        """The table of this part of the interface."""
        return [
            Route("/processes/cmd", self.run, methods=["POST"]),
            Route("/processes", self.start, methods=["POST"]),
            Route("/processes", self.list_all, methods=["GET"]),
            WebSocketRoute("/processes/tty", self.terminal),
            Route("/processes/{pid}", self.get, methods=["GET"]),
            Route("/processes/{pid}", self.end, methods=["DELETE"]),
            Route("/processes/{pid}/signal", self.signal, methods=["POST"]),
            Route("/processes/{pid}/stdin", self.write, methods=["POST"]),
            Route("/processes/{pid}/output", self.output, methods=["GET"]),
            Route("/processes/{pid}/wait", self.wait, methods=["GET"]),
        ]


def _cwd(body: fields.Fields) -> Path:
    cwd = resolve(body.optional("cwd", str, str(home())))
    check_folder(cwd)
    return cwd


def _argv(body: fields.Fields) -> list[str]:
    """What to start: a line of shell, or a program and its arguments."""
    command, argv = body.optional("command", str, ""), body.texts("argv")
    if bool(command) == bool(argv):
        raise BadRequest("give either 'command', a line of shell, or 'argv', a program and its arguments")
    return argv or processes.shell_command(command)


def _pid(request: Request) -> int:
    text: str = request.path_params["pid"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(f"a process id is a number, not {text!r}")
    return int(text)
