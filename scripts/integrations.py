"""Tests the integrations and checks their types, each in an environment of its own, against an emulator of its own.

usage: scripts/integrations.py [--jobs N] [NAME ...] [-- PYTEST_ARGUMENT ...]

An environment is made anew when what it consists of has changed: the requirements, the project's dependencies, or the
interpreter. Frameworks want versions of the same packages that do not go together, so there is one for each.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
INTEGRATIONS = ROOT / "integrations"
ENVIRONMENTS = ROOT / ".venv-integrations"
MAIN = ROOT / ".venv" / "bin"
COMMON = ("pytest>=8.2", "pytest-asyncio>=0.24", "mypy>=1.13")


def names() -> list[str]:
    """The integrations that there are."""
    return sorted(path.parent.name for path in INTEGRATIONS.glob("*/requirements.txt"))


def fingerprint(name: str) -> str:
    """What an environment consists of."""
    parts = [INTEGRATIONS / name / "requirements.txt", ROOT / "pyproject.toml", Path(__file__)]
    content = b"\0".join(path.read_bytes() for path in parts) + sys.version.encode() + str(ROOT).encode()
    return hashlib.sha256(content).hexdigest()


def environment(name: str) -> Path:
    """The environment of an integration, made when it is not there or has become another."""
    folder = ENVIRONMENTS / name
    mark, wanted = folder / ".ready", fingerprint(name)
    if mark.exists() and mark.read_text() == wanted:
        return folder
    uv = [str(MAIN / "python"), "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, str(folder)], check=True)
    requirements = INTEGRATIONS / name / "requirements.txt"
    install = [*uv, "pip", "install", "--python", str(folder / "bin" / "python")]
    project = f"{ROOT}[tools,model,server]"
    subprocess.run([*install, "--editable", project, "-r", str(requirements), *COMMON], check=True)
    mark.write_text(wanted)
    return folder


def run(name: str, arguments: list[str]) -> tuple[str, int, float, str]:
    """Test one integration: its name, status, seconds and output; its sandboxes may be shown its packages."""
    began = time.monotonic()
    try:
        folder = environment(name)
        python = folder / "bin" / "python"
    except subprocess.CalledProcessError as error:
        return name, error.returncode, time.monotonic() - began, f"the environment of {name} could not be made"
    script = str(INTEGRATIONS / "scenario" / "model.py")
    tests = [str(python), "-m", "pytest", "-q", "--asyncio-mode=auto", str(INTEGRATIONS / name), *arguments]
    options = ["--script", script, "--mount-root", str(folder)]
    emulator = [str(MAIN / "agentrun"), "emulator", "exec", *options, "--", *tests]
    done = subprocess.run(
        emulator, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet(os.environ)
    )
    status, wrong = types(name, folder)
    return name, done.returncode or status, time.monotonic() - began, done.stdout + wrong


def types(name: str, folder: Path) -> tuple[int, str]:
    """Check the types of an adapter, which nobody could where its framework is not: the status, and what is wrong."""
    server = ROOT / "agentrun" / "server"
    folders = [ROOT / "agentrun" / "integration", server / "services", server / "frameworks"]
    paths = sorted(path for folder in folders for path in folder.glob("*.py"))
    files = [str(path) for path in paths if is_of(path.stem, name)]
    if not files:
        return 0, ""
    # Without the project's settings, which leave adapters out; what an adapter imports is checked elsewhere.
    options = ["--strict", "--config-file=", "--python-version=3.10", "--follow-imports=silent"]
    cache = f"--cache-dir={folder / '.mypy_cache'}"  # One for each: two that write the same end each other.
    mypy = [
        str(folder / "bin" / "python"),
        "-m",
        "mypy",
        cache,
        *options,
        "--disable-error-code=import-untyped",
        *files,
    ]
    done = subprocess.run(mypy, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout if done.returncode else ""


def is_of(stem: str, name: str) -> bool:
    """Whether a file belongs to an integration; a digit is a line of its framework, else the newest."""
    base = name.rstrip("0123456789")
    longer = tuple(f"{other}_" for other in names() if other.startswith(f"{base}_"))
    if stem == base or not stem.startswith(f"{base}_") or f"{stem}_".startswith(longer):
        return stem == base
    line = re.match(r"_v(\d+)", stem[len(base) :])
    newest = max(other for other in names() if other.rstrip("0123456789") == base)
    return name == (f"{base}{line[1]}" if line else newest)


def quiet(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what frameworks would send to their makers."""
    silent = {
        "ANONYMIZED_TELEMETRY": "false",
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_TRACING_ENABLED": "false",
        "OTEL_SDK_DISABLED": "true",
        "LANGSMITH_TRACING": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "PYTHONPATH": str(ROOT),
    }
    return {**environment, **silent}


def main() -> int:
    """Test what the command line names; 1 when something failed."""
    parser = argparse.ArgumentParser(description="Test the integrations, each in its own environment.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at the same time")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names())}; all by default")
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    chosen, pytest_arguments = parser.parse_args(given[:end]), given[end + 1 :]
    unknown = sorted(set(chosen.names) - set(names()))
    if unknown:
        parser.error(f"there is no integration {unknown[0]}; there are {', '.join(names())}")
    failed: list[str] = []
    with ThreadPoolExecutor(chosen.jobs) as pool:
        wanted: list[str] = chosen.names or names()
        for name, status, seconds, output in pool.map(partial(run, arguments=pytest_arguments), wanted):
            print(f"==> {name}: {'passed' if status == 0 else 'FAILED'} in {seconds:.0f} s")
            print(output.rstrip() if status else "\n".join(output.rstrip().splitlines()[-1:]), flush=True)
            failed += [name] if status else []
    if failed:
        print(f"==> failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
