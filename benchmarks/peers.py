"""Other people's packages, each in an environment of its own, made once under `.cache/`."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache" / "peers"
OFFICIAL = ("official", ("agentrun-sdk==0.0.54",))
MOTO = ("moto", ("moto[server,secretsmanager]",))


def python_with(name: str, packages: tuple[str, ...]) -> Path | None:
    """The interpreter of a peer's environment, None when it cannot be installed here."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    print(f"installing {' '.join(packages)} for comparison ...", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], capture_output=True, check=False)
    if done.returncode:
        print(done.stderr.decode(errors="replace").strip().splitlines()[-1:], file=sys.stderr)
        return None
    (folder / "complete").touch()
    return python
