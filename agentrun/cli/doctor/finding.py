"""What one look at this machine found."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from agentrun.emulator.backends.process import bubblewrap

_SECONDS = 10
_INSTALLERS = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "apk": "apk add",
    "pacman": "pacman -S --noconfirm",
    "zypper": "zypper install -y",
}


@dataclass(frozen=True)
class Finding:
    """What one look found; `fix` is what to type when it is not well, and without an `essential` nothing runs."""

    name: str
    well: bool
    detail: str
    fix: str = ""
    essential: bool = False

    @property
    def state(self) -> str:
        """`ok`, `missing` for what can be done without, `problem` for what cannot."""
        return "ok" if self.well else "problem" if self.essential else "missing"

    def __str__(self) -> str:
        text = f"{self.state:<8} {self.name}: {self.detail}"
        return text if self.well or not self.fix else f"{text}; fix: {self.fix}"


def complaint(name: str, error: Exception) -> Finding:
    """A lack that an error describes whose last part says what to do about it."""
    detail, _, fix = str(error).rpartition(": ")
    return Finding(name, False, detail, fix.removeprefix("run ")) if detail else Finding(name, False, fix)


def output(command: list[str]) -> str | None:
    """The first line that a command prints; None when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else None


def installer() -> str:
    """How this system installs a package."""
    found = next((command for program, command in _INSTALLERS.items() if shutil.which(program)), "install")
    return found if bubblewrap.as_root() or found == "install" else f"sudo {found}"
