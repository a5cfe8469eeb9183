"""What code in sandboxes finds: programs, libraries and languages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import metadata

from agentrun.cli.doctor.finding import Finding, installer, output
from agentrun.emulator.guest import kernels

_DATA = ("numpy", "pandas", "matplotlib")
_PYTHON_KERNEL = "ipykernel"


def findings() -> Iterator[Finding]:
    """Look at what contexts, commands and browsers need."""
    yield _program("bash", ("bash",), "bash", "Bash contexts and terminals")
    yield _program("node", ("node", "nodejs"), "nodejs", "JavaScript contexts")
    yield _program("chromium", ("chromium", "chromium-browser", "google-chrome"), "chromium", "browser sandboxes")
    yield _packages("ipython", ("ipython",), "emulator", "rich results")
    yield _packages("data libraries", _DATA, "data", "tables and charts")
    yield _kernels()


def _program(name: str, programs: tuple[str, ...], package: str, use: str) -> Finding:
    """An optional program, which is there when it runs."""
    found = next(filter(None, map(shutil.which, programs)), None)
    answer = output([found, "--version"]) if found else None
    if answer:
        return Finding(name, True, answer)
    detail = f"{'does not work' if found else 'not installed'} (only needed for {use})"
    return Finding(name, False, detail, f"{installer()} {package}")


def _packages(name: str, packages: tuple[str, ...], extra: str, use: str) -> Finding:
    versions = {package: _version(package) for package in packages}
    absent = [package for package, version in versions.items() if version is None]
    if absent:
        detail = f"without {', '.join(absent)} (only needed for {use})"
        return Finding(name, False, detail, f"pip install 'agentrun[{extra}]'")
    return Finding(name, True, ", ".join(f"{package} {version}" for package, version in versions.items()))


def _kernels() -> Finding:
    found = kernels.installed()
    if found:
        return Finding("jupyter kernels", True, ", ".join(found))
    lacking = "no kernel is installed" if _version(kernels.PACKAGE) else f"without {kernels.PACKAGE}"
    detail = f"{lacking} (only needed for more languages)"
    return Finding("jupyter kernels", False, detail, "pip install 'agentrun[kernels]'")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
