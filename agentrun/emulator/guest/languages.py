"""The languages a context can have, and how an interpreter of each is started."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.guest import kernels
from agentrun.emulator.guest.errors import BadRequest
from agentrun.emulator.guest.interpreter import Interpreter
from agentrun.emulator.guest.replies import BASH_COMMANDS, JSON_LINES
from agentrun.emulator.guest.sources import Sources, start

BASH = ("bash", "--noprofile", "--norc", "--noediting", "+H", "-i")
SILENT_EXIT = 'exit() { builtin exit "$@" 2>/dev/null; }'  # an interactive one tells stderr that it exits
JAVASCRIPT = ("node", "--no-warnings", str(Path(__file__).with_name("workers") / "javascript.js"))
ALIASES = {"py": "python", "python3": "python", "sh": "bash", "shell": "bash", "js": "javascript", "node": "javascript"}

KERNEL_PREFIX = "jupyter:"  # before the name of a kernel that is the name of a language already

Start = Callable[[Sources, str], Awaitable[Interpreter]]  # an interpreter that works in a folder


@dataclass(frozen=True)
class Language:
    """One language and the program that it needs."""

    name: str
    program: str
    start: Start

    @property
    def installed(self) -> bool:
        """Whether this image has the interpreter."""
        return shutil.which(self.program) is not None


def find(name: str) -> Language:
    """The language, or the Jupyter kernel of that name; BadRequest naming what there is when there is none."""
    language = LANGUAGES.get(ALIASES.get(name.lower(), name.lower()))
    if language is not None and language.installed:
        return language
    if language is None and name in (found := _kernels()):
        return _kernel(name, found[name])
    available = ", ".join([*(known.name for known in LANGUAGES.values() if known.installed), *_kernels()])
    if language is not None:
        raise BadRequest(f"{language.name} needs {language.program}, which is not installed: available are {available}")
    raise BadRequest(f"unknown language {name!r}: available are {available}{kernels.hint()}")


def _kernels() -> dict[str, str]:
    """The Jupyter kernels by the names of their languages here."""
    taken = {*LANGUAGES, *ALIASES}
    return {f"{KERNEL_PREFIX}{name}" if name in taken else name: name for name in kernels.installed()}


def _kernel(name: str, kernel: str) -> Language:
    async def start_kernel(_sources: Sources, cwd: str) -> Interpreter:
        return await kernels.Kernel.start(kernel, cwd)

    return Language(name, sys.executable, start_kernel)


async def _start_python(sources: Sources, cwd: str) -> Interpreter:
    return await sources.python(cwd)


async def _start_bash(_sources: Sources, cwd: str) -> Interpreter:
    return await start(BASH, cwd, BASH_COMMANDS, SILENT_EXIT)


async def _start_javascript(_sources: Sources, cwd: str) -> Interpreter:
    return await start(JAVASCRIPT, cwd, JSON_LINES)


LANGUAGES = {
    language.name: language
    for language in (
        Language("python", sys.executable, _start_python),
        Language("bash", BASH[0], _start_bash),
        Language("javascript", JAVASCRIPT[0], _start_javascript),
    )
}
