"""A file that says what the scripted model answers: Python that defines `script = Script(...)`, or YAML."""

from __future__ import annotations

import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from agentrun._core.yaml_text import read_yaml
from agentrun._serving.openai_error import ApiError
from agentrun.emulator.scripted.document import read_script
from agentrun.emulator.scripted.script import Script

_YAML = (".yaml", ".yml")
_MODULE = "agentrun_emulator_script"


class ScriptFileError(Exception):
    """The file holds no script; the text says where and why."""


def load_script(path: Path) -> Script:
    """Read a YAML file, or run a Python file and return its `script`; raises ScriptFileError.

    Python may import what stands beside it.
    """
    if not path.is_file():
        raise ScriptFileError(f"there is no script {path}")
    return _read(path) if path.suffix in _YAML else _find(path)


def _read(path: Path) -> Script:
    try:
        return read_script(read_yaml(path.read_text(encoding="utf-8")))
    except ApiError as error:
        raise ScriptFileError(f"{path}: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise ScriptFileError(f"{path} is no YAML: {error}") from error


def _find(path: Path) -> Script:
    found = getattr(_run(path), "script", None)
    if found is None:
        raise ScriptFileError(f"{path} defines no script: write `script = Script([Rule(...), ...])` in it")
    if not isinstance(found, Script):
        raise ScriptFileError(f"script in {path} is a {type(found).__name__}: make it an agentrun.emulator.Script")
    return found


def _run(path: Path) -> ModuleType:
    spec = spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ScriptFileError(f"{path} is not a Python file: its name must end in .py, .yaml or .yml")
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
