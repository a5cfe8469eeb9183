"""What travels: names on the wire, defaults, what an update sends, and packages of code."""

from __future__ import annotations

import io
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from agentrun import (
    AgentRuntimeCode,
    AgentRuntimeContainer,
    AgentRuntimeCreateInput,
    AgentRuntimeLanguage,
    AgentRuntimeUpdateInput,
    ExecutionResult,
    InvalidInputError,
    ModelProxyUpdateInput,
    NetworkConfig,
    NetworkMode,
    ProviderSettings,
    SandboxError,
    TemplateInput,
    TemplateType,
    TemplateUpdateInput,
)
from agentrun._core.checksum import crc64
from agentrun._core.model import Model
from agentrun.agent_runtime import package
from agentrun.agent_runtime.model import NASMountConfig, ProtocolSettings, RegistryAuthConfig, RegistryCertConfig
from agentrun.sandbox.model import NASMountConfig as SandboxNASMountConfig

PYTHON = AgentRuntimeLanguage.PYTHON312
COMMAND = ["python", "main.py"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of code with things beside it that nobody wants to send."""
    for name in ("main.py", "lib/tool.py", ".git/config", ".venv/pyvenv.cfg", "__pycache__/main.pyc", "old.pyc"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}")
    (tmp_path / "run.sh").write_text("exec python main.py")
    (tmp_path / "run.sh").chmod(0o755)
    return tmp_path


def archive_of(code: AgentRuntimeCode) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b64decode(code.zip_file or "")))


# Packages


def test_the_checksum_is_the_standard_one() -> None:
    assert crc64(b"123456789") == 0x995DC9BBDF1939FA
    assert crc64(b"") == 0
    # Longer than one piece that is fed to the compressor; the value is what `xz --list` shows.
    assert crc64(b"ab" * (1 << 20)) == 0x2B1608ACAAFC3E73


def test_a_folder_becomes_an_archive_of_its_code(project: Path) -> None:
    code = AgentRuntimeCode.from_file(PYTHON, COMMAND, project)
    with archive_of(code) as archive:
        assert archive.namelist() == ["lib/tool.py", "main.py", "run.sh"]
        assert archive.read("main.py") == b"# main.py"
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert modes == {"lib/tool.py": 0o644, "main.py": 0o644, "run.sh": 0o755}
    assert code.checksum == str(crc64(b64decode(code.zip_file or "")))
    assert (code.language, code.command) == ("python3.12", COMMAND)


def test_the_same_files_make_the_same_archive(project: Path) -> None:
    first = AgentRuntimeCode.from_file(PYTHON, COMMAND, project)
    (project / "main.py").touch()
    assert AgentRuntimeCode.from_file(PYTHON, COMMAND, str(project)) == first


def test_one_file_becomes_an_archive(project: Path) -> None:
    with archive_of(AgentRuntimeCode.from_file(PYTHON, COMMAND, project / "main.py")) as archive:
        assert archive.namelist() == ["main.py"]


def test_an_archive_travels_as_it_is(project: Path) -> None:
    source = project / "code.zip"
    source.write_bytes(package.zip_path(project / "lib"))
    code = AgentRuntimeCode.from_zip_file(PYTHON, COMMAND, source)
    assert b64decode(code.zip_file or "") == source.read_bytes()
    assert "UEsD" not in repr(code)


def test_a_package_that_cannot_be_made_says_why(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="there is no file or folder"):
        AgentRuntimeCode.from_file(PYTHON, COMMAND, project / "missing")
    with pytest.raises(InvalidInputError, match="there are no files in"):
        AgentRuntimeCode.from_file(PYTHON, COMMAND, project / ".venv" / ".." / "__pycache__")
    with pytest.raises(InvalidInputError, match="is not a zip archive"):
        AgentRuntimeCode.from_zip_file(PYTHON, COMMAND, project / "main.py")
    monkeypatch.setattr(package, "MAX_BYTES", 10)
    with pytest.raises(InvalidInputError, match="from_oss"):
        AgentRuntimeCode.from_file(PYTHON, COMMAND, project)


# Names on the wire


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        (NASMountConfig(enable_tls=True), {"enableTLS": True}),
        (SandboxNASMountConfig(enable_tls=True), {"enableTls": True}),
        (RegistryCertConfig(root_ca_cert_base_64="x"), {"rootCaCertBase64": "x"}),
        (
            ProtocolSettings(a_2aagent_card="1", a_2a_agent_card="2", a_2a_agent_card_url="3"),
            {"A2AAgentCard": "1", "a2aAgentCard": "2", "a2aAgentCardUrl": "3"},
        ),
        (TemplateUpdateInput(sandbox_ttlin_seconds=1), {"sandboxTTLInSeconds": 1}),
        (NetworkConfig(), {"networkMode": "PUBLIC"}),
    ],
)
def test_names_that_are_not_plain_camel_case(given: Model, wire: dict[str, Any]) -> None:
    assert given.to_wire() == wire
    kind: type[Model] = type(given)
    assert kind.from_wire(wire).to_wire() == wire


def test_secrets_are_not_shown() -> None:
    shown = repr([ProviderSettings(api_key="sk-1"), RegistryAuthConfig(password="sk-2", user_name="u")])
    assert "sk-" not in shown


# What an update sends


def test_an_update_sends_only_what_was_given() -> None:
    assert AgentRuntimeUpdateInput(description="d").to_wire() == {"description": "d"}
    assert ModelProxyUpdateInput(credential_name="c").to_wire() == {"credentialName": "c"}
    # What is inside a given value travels with its defaults.
    network = NetworkConfig(vpc_id="v")
    assert AgentRuntimeUpdateInput(network_configuration=network).to_wire() == {
        "networkConfiguration": {"networkMode": "PUBLIC", "vpcId": "v"}
    }


def test_a_template_input_updates_only_what_was_given() -> None:
    wanted = TemplateInput(template_name="t", template_type=TemplateType.AIO, description="d", disk_size=10240)
    assert wanted.to_update().to_wire() == {"description": "d"}


# What a creation fills in


def test_the_artifact_follows_from_the_configuration() -> None:
    container = AgentRuntimeCreateInput(
        agent_runtime_name="a", container_configuration=AgentRuntimeContainer(image="i")
    )
    assert container.to_wire()["artifactType"] == "Container"
    code = AgentRuntimeCreateInput(agent_runtime_name="a", code_configuration=AgentRuntimeCode(command=COMMAND))
    assert code.to_wire() == {
        "agentRuntimeName": "a",
        "artifactType": "Code",
        "codeConfiguration": {"command": COMMAND},
        "cpu": 2.0,
        "memory": 4096,
        "port": 9000,
        "networkConfiguration": {"networkMode": "PUBLIC"},
    }
    with pytest.raises(InvalidInputError, match="made of code or of a container image"):
        AgentRuntimeCreateInput(agent_runtime_name="a").to_wire()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (TemplateType.CODE_INTERPRETER, (2.0, 4096, 512)),
        (TemplateType.BROWSER, (2.0, 4096, 10240)),
        (TemplateType.AIO, (4.0, 8192, 10240)),
        (TemplateType.CUSTOM, (2.0, 4096, 512)),
    ],
)
def test_a_template_is_as_large_as_its_type_needs(kind: TemplateType, expected: tuple[float, int, int]) -> None:
    made = TemplateInput(template_type=kind)
    assert (made.cpu, made.memory, made.disk_size) == expected


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"template_type": TemplateType.BROWSER, "disk_size": 512}, "disk_size"),
        ({"template_type": TemplateType.CUSTOM, "cpu": 1}, "cpu must be at least 2"),
        (
            {
                "template_type": TemplateType.CODE_INTERPRETER,
                "network_configuration": NetworkConfig(network_mode=NetworkMode.PRIVATE),
            },
            "cannot be PRIVATE",
        ),
        ({"template_type": TemplateType.CUSTOM, "cpus": 2}, "Did you mean cpu"),
        ({}, "needs 'template_type'"),
    ],
)
def test_a_template_that_cannot_be_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        TemplateInput(**fields)


def test_templates_get_names_of_their_own() -> None:
    first, second = (TemplateInput(template_type=TemplateType.CUSTOM) for _ in range(2))
    assert first.template_name != second.template_name


# What running code gave


def test_a_result_is_the_answer_and_its_parts() -> None:
    answer = {
        "results": [
            {"type": "stdout", "text": "a\n"},
            {"type": "stderr", "text": "w"},
            {"type": "stdout", "text": "b\n"},
            {"type": "result", "text": "1"},
            {"type": "result", "text": "2"},
            {"type": "endOfExecution", "status": "ok"},
        ],
        "contextId": "c",
    }
    result = ExecutionResult(answer)
    assert result == answer
    assert (result.stdout, result.stderr, result.text, result.error) == ("a\nb\n", "w", "2", None)
    assert result.raise_on_error() is result


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"type": "error", "name": "ValueError", "value": "no"}, "ValueError: no"),
        ({"type": "timeout", "text": "30 s"}, "timeout: 30 s"),
    ],
)
def test_a_failure_is_raised_when_asked_for(item: dict[str, Any], message: str) -> None:
    with pytest.raises(SandboxError, match=message):
        ExecutionResult({"results": [item]}).raise_on_error()


def test_an_empty_answer_has_no_parts() -> None:
    empty = ExecutionResult({})
    assert (empty.results, empty.stdout, empty.text, empty.error) == ([], "", None, None)
