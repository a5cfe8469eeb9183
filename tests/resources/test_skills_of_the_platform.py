"""Skills that the platform keeps, as tools of an agent: downloaded when first needed, and used in a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrun import Config, ResourceNotExistError, Template, TemplateType
from agentrun.integration.builtin import skill_tools
from tests.resources.modes import Mode
from tests.resources.test_tool import created, skill

GREET = {"SKILL.md": "---\nname: greeting\ndescription: Greets\n---\nRun greet.sh.", "greet.sh": "echo hello $1"}


def test_a_skill_of_the_platform_is_used_in_a_sandbox(call: Mode, config: Config, tmp_path: Path) -> None:
    Template.create(template_name="python", template_type=TemplateType.CODE_INTERPRETER, config=config)
    packed = skill(**GREET)
    kind = {"tool_type": "SKILL", "create_method": "CODE_PACKAGE", "protocol_spec": None, "mcp_config": None}
    made = created(call, config, "greet", code_configuration=packed, **kind)
    for name in ("greet", ["greet"], made):
        folder = tmp_path / str(type(name).__name__)
        with skill_tools(name, skills_dir=str(folder), config=config, sandbox="python") as tools:
            assert not folder.exists()
            load, read, execute = tools.tools()
            assert call(load, "call") == [{"name": "greeting", "description": "Greets", "version": ""}]
            assert call(read, "call", skill_name="greeting", file_path="greet.sh") == "echo hello $1"
            said = call(execute, "call", command="sh greet.sh you", skill_name="greeting")
            assert said["stdout"] == "hello you\n"


def test_a_skill_that_the_platform_does_not_have_is_told(call: Mode, config: Config, tmp_path: Path) -> None:
    load = skill_tools("nowhere", skills_dir=str(tmp_path), config=config).tools()[0]
    assert isinstance(call(load, "outcome", {}).error, ResourceNotExistError)
    with pytest.raises(ResourceNotExistError):
        call(load, "call")
