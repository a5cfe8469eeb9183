"""A Python file that says what the scripted model answers: it defines `script = Script(...)`."""

from __future__ import annotations

import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from agentrun.emulator.scripted.script import Script

_MODULE = "agentrun_emulator_script"


class ScriptFileError(Exception):
    """The file holds no script; the text says where and why."""


def load_script(path: Path) -> Script:
    """Run the file and return its `script`; raises ScriptFileError. It may import what stands beside it."""
    if not path.is_file():
        raise ScriptFileError(f"there is no script {path}")
    found = getattr(_run(path), "script", None)
    if found is None:
        raise ScriptFileError(f"{path} defines no script: write `script = Script([Rule(...), ...])` in it")
    if not isinstance(found, Script):
        raise ScriptFileError(f"script in {path} is a {type(found).__name__}: make it an agentrun.emulator.Script")
    return found


def _run(path: Path) -> ModuleType:
    spec = spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ScriptFileError(f"{path} is not a Python file: its name must end in .py")
    module = sys.modules[_MODULE] = module_from_spec(spec)
    sys.path.append(str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file may raise anything
        reason = f"{type(error).__name__}: {error}{_line(path, error)}"
        raise ScriptFileError(f"{path} cannot be loaded: {reason}") from error
    return module


def _line(path: Path, error: Exception) -> str:
    """Where in the file it happened; a SyntaxError says that itself."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" (line {lines[-1]})" if lines else ""
