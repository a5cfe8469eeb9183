"""One script, written for the official SDK, does the same with theirs and with ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agentrun.config import Config
from agentrun.emulator import Emulator
from agentrun.knowledgebase import BailianProviderSettings, KnowledgeBase
from tests.parity.conftest import ECHO

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "official" / "script.py"
TIMEOUT_SECONDS = 60

EXISTS, MISSING = "ResourceAlreadyExistError", "ResourceNotExistError"
EXPECTED: Mapping[str, Any] = {
    "credential": ["key", "sk-1", "external_llm"],
    "credential changed": ["changed", False, "sk-1"],
    "credentials": ["key"],
    "credential refusals": [EXISTS, MISSING, MISSING],
    "model service": ["changed", "openai", ["scripted"]],
    "model services": ["models"],
    "model by client": "llm",
    "completion": "say this",
    "completion in pieces": "say that",
    "model refusals": [EXISTS, MISSING],
    "knowledge base": ["changed", "bailian", ["i"]],
    "knowledge bases": ["kept", "base"],
    "knowledge base refusals": [EXISTS, MISSING],
    "retrieved": ["zebra", "kept", ["A zebra has stripes."]],
    "retrieved from several": ["zebra", ["A zebra has stripes."], True, "base", True],
    "knowledge base gone": MISSING,
    "template": ["template", "READY", 1800],
    "templates": ["template"],
    "template refusals": [EXISTS, MISSING],
    "sandbox": ["READY", "ok"],
    "execute": ["42\n"],
    "execute failed": ["ZeroDivisionError"],
    "file": "kept 中文",
    "moved": ["b.txt"],
    "stat": 11,
    "command": [3, "kept 中文"],
    "file refusal": "ClientError",
    "connected": ["CodeInterpreterSandbox", True],
    "sandbox refusals": [MISSING, MISSING],
    "runtime created": "CREATING",
    "runtime": ["agent", "READY", 2.0, 4096, 9000],
    "runtimes": ["agent"],
    "runtime changed": "changed",
    "endpoint": ["prod", "READY", "LATEST"],
    "endpoints": [["prod", "changed"]],
    "runtime refusals": [EXISTS, MISSING],
    "runtime gone": MISSING,
    "asynchronous credential": "sk-1",
    "asynchronous execute": ["2\n"],
    "left": [0, 0, 0],
}
# Where the official SDK does not name the error that it says it raises.
OFFICIAL: Mapping[str, Any] = {
    "model refusals": [EXISTS, "ClientError"],
    "template refusals": ["ClientError", MISSING],
}


def official_python() -> str | None:
    """The interpreter of an environment that has the official SDK, if there is one."""
    made = ROOT / ".cache" / "official" / "bin" / "python"
    return os.environ.get("AGENTRUN_OFFICIAL_PYTHON") or (str(made) if made.exists() else None)


def knowledge_base(config: Config) -> str:
    """The name of a knowledge base with a document, which only the emulator can be given."""
    where = BailianProviderSettings(workspace_id="w", index_ids=["kept"])
    with config:
        base = KnowledgeBase.create(
            config=config, knowledge_base_name="kept", provider="bailian", provider_settings=where
        )
        base.add_documents(["A zebra has stripes."])
    return base.label


def ran(python: str, emulator: Emulator, account: str, folder: Path) -> Mapping[str, Any]:
    """What the script saw under an interpreter. The agent is copied: the official SDK writes its zip beside it."""
    agent = shutil.copytree(ECHO, folder / "echo")
    environment = {**os.environ, **emulator.environment(account)}
    environment |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DISABLE_BREAKING_CHANGES_WARNING": "1"}
    environment.pop("PYTHONPATH", None)
    command = [
        python,
        str(SCRIPT),
        str(agent),
        environment["OPENAI_BASE_URL"],
        knowledge_base(emulator.config(account)),
    ]
    ended = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    seen: Mapping[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return seen


def test_ours(emulator: Emulator, account: str, tmp_path: Path) -> None:
    assert ran(sys.executable, emulator, account, tmp_path) == EXPECTED


def test_theirs(emulator: Emulator, account: str, tmp_path: Path) -> None:
    python = official_python()
    if python is None:
        pytest.skip("the official SDK is not here: run scripts/parity_env.sh, or set AGENTRUN_OFFICIAL_PYTHON")
    version = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('agentrun-sdk'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert version.stdout.strip()
    assert ran(python, emulator, account, tmp_path) == {**EXPECTED, **OFFICIAL}
