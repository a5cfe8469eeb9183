"""Runs the blocks of a page, one after the other, as a reader would who copies each of them."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from agentrun.cli import app as command_line
from tests.docs.pages import FILE, NOT_RUN, OUTPUT, ROOT, Block, name_of

BLOCK_SECONDS = 60
# What a shell block may start for real; whatever else it says is looked up or must be marked.
_RUN = ("agentrun", "python", "pytest", "eval", "cat", "mkdir", "cd")
# They stay, or end what the tests need: that these commands and options exist is all that is checked.
_LOOKED_UP = re.compile(
    r"^agentrun emulator (up|down|reset)\b|^agentrun gateway (?!.*--check)|^agentrun (serve|chat)\b"
    r"|^agentrun traces show [0-9a-f]|^agentrun .* (-f|--follow)\b|^(pip|make) "
)
_ASSIGNMENT = re.compile(r"^\w+=")


class BlockFailedError(AssertionError):
    """A block does not do what the page says; the text starts with the place."""


class PageRun:
    """One page: its Python namespace, its folder, and what the last block printed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""

    def run(self, block: Block) -> None:
        """Do with a block what its language and its comment ask for; raises BlockFailedError."""
        if block.directive == NOT_RUN:
            return
        if block.directive == FILE:
            self._write(block)
        elif block.directive == OUTPUT:
            _compare(block, self._printed)
        elif block.language == "python":
            self._printed = run_python(block, self._namespace)
        elif block.language == "bash":
            self._printed = run_shell(block, self._folder)

    def _write(self, block: Block) -> None:
        target = self._folder / block.argument
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.code, encoding="utf-8")


def run_python(block: Block, namespace: dict[str, Any]) -> str:
    """Run Python in a namespace and return what it printed; a traceback names the page and its line."""
    printed = io.StringIO()
    try:
        # As many lines above as on the page, so that line numbers are the page's.
        code = compile("\n" * (block.line - 1) + block.code, str(block.page), "exec", dont_inherit=True)
        with contextlib.redirect_stdout(printed), within(BLOCK_SECONDS):
            exec(code, namespace)
    except SyntaxError as error:
        raise BlockFailedError(f"{block.place}: {error}") from error
    except Exception as error:
        raise BlockFailedError(f"{_place(block, error)}: {type(error).__name__}: {error}") from error
    return printed.getvalue()


@contextlib.contextmanager
def within(seconds: int) -> Generator[None, None, None]:
    """Raise TimeoutError inside the block, where it is at that moment, when it takes longer."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _place(block: Block, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(block.page)]
    return f"{name_of(block.page)}:{lines[-1] if lines else block.line}"


def run_shell(block: Block, folder: Path) -> str:
    """Run the commands of a block in a folder and return what they printed; some are only looked up."""
    lines = list(_commands(block))
    if any(_LOOKED_UP.match(line) for line in lines):
        for line in lines:
            look_up(block, line)
        return ""
    for line in lines:
        if _program(line) not in _RUN:
            raise BlockFailedError(f"{block.place}: mark it with <!-- not run: why -->, or teach the tests: {line}")
    return _run_script(block, folder)


def _commands(block: Block) -> Iterator[str]:
    for line in block.code.replace("\\\n", " ").splitlines():
        command = re.sub(r"\s+#.*|^#.*", "", line).strip()
        if command:
            yield command


def _program(line: str) -> str:
    return next((word for word in line.split() if not _ASSIGNMENT.match(word)), "")


def _run_script(block: Block, folder: Path) -> str:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=folder,
        env={**os.environ, "PATH": tools},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BLOCK_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BlockFailedError(f"{block.place}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def look_up(block: Block, line: str) -> None:
    """Check that a command and its options exist, without running it; raises BlockFailedError."""
    words = shlex.split(line)
    found = {"agentrun": _agentrun_knows, "pip": _has_extras, "make": _has_target}.get(words[0])
    problem = found(words[1:]) if found else f"nobody knows how to look up {words[0]}"
    if problem:
        raise BlockFailedError(f"{block.place}: {line}: {problem}")


def _agentrun_knows(words: list[str]) -> str | None:
    own = words[: words.index("--")] if "--" in words else words
    complaint = io.StringIO()
    try:
        # Options are read from left to right before help is printed, so a wrong one is found first.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(complaint):
            command_line.app([*own, "--help"], prog_name="agentrun")
    except SystemExit as end:
        return complaint.getvalue() if end.code else None
    return None


def _has_extras(words: list[str]) -> str | None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = [extra for word in words for extra in re.findall(r"agentrun\[([\w,]+)\]", word)]
    missing = [extra for extra in ",".join(extras).split(",") if extra and not re.search(rf"^{extra} = \[", text, re.M)]
    return f"pyproject.toml has no extra {missing}" if missing else None


def _has_target(words: list[str]) -> str | None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return None if re.search(rf"^{re.escape(words[0])}:", text, re.M) else f"the Makefile has no target {words[0]}"


def _compare(block: Block, printed: str) -> None:
    checker, options = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not checker.check_output(block.code, printed, options):
        raise BlockFailedError(f"{block.place}: the page shows\n{block.code}and what was printed is\n{printed}")
