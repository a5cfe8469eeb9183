"""Skills in a folder: what each is for, its instructions, its files; and commands that use them, kept in a sandbox."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentrun._core.blocking import run
from agentrun._core.closing import Closing
from agentrun._core.yaml_text import read_yaml
from agentrun.errors import Executed, InvalidInputError, ToolError
from agentrun.integration._calling import called
from agentrun.integration._extra import library
from agentrun.integration._folder import Folder
from agentrun.integration._function import of_both_modes
from agentrun.integration._session import current_session
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.builtin.sandbox import SessionSandboxes
from agentrun.sandbox.toolset import SandboxToolSet

if TYPE_CHECKING:
    from agentrun.config import Config
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
    from agentrun.tool import Tool as ToolResource

log = logging.getLogger("agentrun")

Approval: TypeAlias = Callable[[str, str], Any]

SKILL_FILE = "SKILL.md"
MOST_BYTES = 1_000_000
MOST_OUTPUT = 100_000
IN_SANDBOX = "/home/user/skills"
_DEEPEST = 20
_BATCH = 50
# A command of a skill is told nothing of what else this process knows, such as keys.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "SHELL", "TERM")


@dataclass
class SkillInfo:
    """A skill as a list shows it; `path` is its folder."""

    name: str
    description: str = ""
    version: str = ""
    path: str = ""


@dataclass
class SkillDetail(SkillInfo):
    """A skill with its instructions and the paths of its other files."""

    instruction: str = ""
    files: list[str] = field(default_factory=list[str])


class SkillLoader(Closing):
    """The skills below `skills_dir`, one in each folder that has a SKILL.md, and skills of the platform.

    Those of the platform, `remote_skill_names`, are downloaded there when they are first needed. Commands run in
    `sandbox`, the name of a template, a SandboxToolSet or SessionSandboxes, for at most `command_timeout` seconds. Only
    with `command_approval`, which is asked with each command and its folder, do they run on this machine.
    """

    def __init__(
        self,
        skills_dir: str = ".skills",
        remote_skill_names: Sequence[str | ToolResource] | None = None,
        config: Config | None = None,
        command_approval: Approval | None = None,
        command_timeout: int = 300,
        *,
        sandbox: str | SandboxToolSet | SessionSandboxes | None = None,
    ) -> None:
        if command_approval is not None and sandbox is not None:
            raise InvalidInputError(
                "commands run in the sandbox or, with command_approval, on this machine",
                field="command_approval",
                hint="Give one of the two",
            )
        self._path = Path(skills_dir)
        self._remote: list[str | ToolResource] = list(remote_skill_names or ())
        self._config = config
        self._approval = command_approval
        self._timeout = command_timeout
        self._sandboxes = self._made(sandbox) if isinstance(sandbox, str) else sandbox
        self._owned = isinstance(sandbox, str)
        self._filled: set[str | None] = set()  # The ids of the sandboxes that have the skills.

    def _made(self, template_name: str) -> SessionSandboxes:
        return SessionSandboxes(lambda: SandboxToolSet.of_template(template_name, config=self._config))

    async def scan_skills_async(self) -> list[SkillInfo]:
        """All skills, by name; those of the platform that are not there yet are downloaded first."""
        await self._download()
        return sorted((_info(path) for path in self._folders()), key=lambda info: info.name)

    def scan_skills(self) -> list[SkillInfo]:
        """All skills, by name; those of the platform that are not there yet are downloaded first."""
        return run(self.scan_skills_async())

    async def load_skill_async(self, name: str) -> SkillDetail | None:
        """A skill with its instructions, None when there is none of that name."""
        found = next((info for info in await self.scan_skills_async() if info.name == name), None)
        if found is None:
            return None
        folder = Folder(found.path)
        instruction = _parts(_text(folder, SKILL_FILE))[1]
        files = [entry.path for entry in folder.list(".", _DEEPEST) if entry.kind == "file"]
        return SkillDetail(
            found.name,
            found.description,
            found.version,
            found.path,
            instruction,
            [path for path in files if path != SKILL_FILE],
        )

    def load_skill(self, name: str) -> SkillDetail | None:
        """A skill with its instructions, None when there is none of that name."""
        return run(self.load_skill_async(name))

    def to_common_toolset(self) -> CommonToolSet:
        """The tools with which an agent finds, reads and uses skills: load_skills, read_skill_file, execute_command."""

        async def load_skills(name: str | None = None) -> Any:
            """List the skills that there are, or load one: its instructions and the names of its files.

            Args:
                name: The skill to load; all are listed when it is left away.
            """
            if name is None:
                listed = await self.scan_skills_async()
                return [{"name": i.name, "description": i.description, "version": i.version} for i in listed]
            found = await self._known(name)
            about = {"name": found.name, "description": found.description, "version": found.version}
            return {**about, "instruction": found.instruction, "files": found.files}

        async def read_skill_file(skill_name: str, file_path: str) -> str:
            """Read a text file of a skill.

            Args:
                skill_name: The skill.
                file_path: The file, relative to the skill's folder.
            """
            return _text(Folder((await self._known(skill_name)).path), file_path)

        async def execute_command(command: str, skill_name: str | None = None) -> dict[str, Any]:
            """Run a shell command, such as a script of a skill; tells its output and its exit code.

            Args:
                command: The command.
                skill_name: The skill in whose folder it runs; without one it runs in the folder that has them all.
            """
            await self._download()
            folder = Path((await self._known(skill_name)).path).name if skill_name else "."
            return await self._execute(command, folder)

        tools = [of_both_modes(function) for function in (load_skills, read_skill_file, execute_command)]
        return CommonToolSet(tools, [self])

    async def close_async(self) -> None:
        """Delete the sandboxes that were made for commands; calling it twice is allowed."""
        if self._owned and self._sandboxes is not None:
            await self._sandboxes.close_async()

    async def _known(self, name: str) -> SkillDetail:
        found = await self.load_skill_async(name)
        if found is None:
            known = ", ".join(info.name for info in await self.scan_skills_async())
            raise InvalidInputError(f"there is no skill {name!r}", field="name", hint=f"There are: {known or 'none'}")
        return found

    def _folders(self) -> list[Path]:
        if not self._path.is_dir():
            return []
        root = self._path.resolve()
        return [each for each in root.iterdir() if not each.is_symlink() and (each / SKILL_FILE).is_file()]

    async def _download(self) -> None:
        while self._remote:
            wanted = self._remote[0]
            tool = await _resource(wanted, self._config) if isinstance(wanted, str) else wanted
            self._path.mkdir(parents=True, exist_ok=True)
            await tool.download_skill_async(str(self._path), self._config)
            self._remote = [each for each in self._remote if each is not wanted]

    # Commands

    async def _execute(self, command: str, folder: str) -> dict[str, Any]:
        if self._sandboxes is not None:
            return await self._in_sandbox(self._sandboxes, command, folder)
        if self._approval is None:
            raise ToolError(
                "commands of skills run in a sandbox, and there is none",
                tool="execute_command",
                executed=Executed.NO,
                hint="Give skill_tools sandbox=<name of a template>, or command_approval to run them on this machine",
            )
        place = str((self._path / folder).resolve())
        if await called(self._approval, command, place) is not True:
            raise ToolError("the command was not approved", tool="execute_command", executed=Executed.NO)
        return cast("dict[str, Any]", await called(_run_here, command, place, self._timeout))

    async def _in_sandbox(
        self, sandboxes: SandboxToolSet | SessionSandboxes, command: str, folder: str
    ) -> dict[str, Any]:
        tools = sandboxes if isinstance(sandboxes, SandboxToolSet) else sandboxes.of_session(current_session())
        sandbox = await tools.sandbox_async()
        if sandbox.sandbox_id not in self._filled:
            await self._fill(sandbox)
            self._filled.add(sandbox.sandbox_id)
        place = f"{IN_SANDBOX}/{folder}" if folder != "." else IN_SANDBOX
        asked = {"command": command, "cwd": place, "timeout": self._timeout}
        return await tools.tool("process_exec_cmd").perform(asked)

    async def _fill(self, sandbox: CodeInterpreterSandbox) -> None:
        """Carry all skills into a sandbox."""
        await sandbox.file_system.mkdir_async(IN_SANDBOX)
        for path in self._folders():
            folder = Folder(path)
            names = [entry.path for entry in folder.list(".", _DEEPEST) if entry.kind == "file"]
            for start in range(0, len(names), _BATCH):
                batch = names[start : start + _BATCH]
                contents = {f"{IN_SANDBOX}/{path.name}/{name}": folder.read(name, MOST_BYTES * 20) for name in batch}
                await sandbox.file.write_many_async(contents, mode="755")


async def _resource(name: str, config: Config | None) -> ToolResource:
    from agentrun.tool import Tool  # Only skills of the platform need it.

    return await Tool.get_by_name_async(name, config)


def _run_here(command: str, place: str, seconds: int) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            printed, complained = process.communicate(timeout=seconds)
            status = "completed"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, complained = process.communicate()
            status = "timeout"
    shown = {"stdout": _shown(printed), "stderr": _shown(complained)}
    return {**shown, "exit_code": process.returncode, "status": status}


def _shown(output: bytes) -> str:
    return output[-MOST_OUTPUT:].decode(errors="replace")


def _info(path: Path) -> SkillInfo:
    try:
        about = _parts(_text(Folder(path), SKILL_FILE))[0]
    except ToolError as problem:
        log.warning("the skill in %s cannot be described: %s", path.name, problem)
        about = dict[str, Any]()
    said = {name: str(about.get(name) or "") for name in ("name", "description", "version")}
    return SkillInfo(said["name"] or path.name, said["description"], said["version"], str(path))


def _text(folder: Folder, path: str) -> str:
    try:
        return folder.read(path, MOST_BYTES).decode()
    except UnicodeDecodeError:
        raise ToolError(f"{path} is no text in UTF-8") from None


def _parts(text: str) -> tuple[Mapping[str, Any], str]:
    """The front matter of a SKILL.md, and what stands below it; raises ToolError when it is not YAML."""
    first, _, rest = text.lstrip("\ufeff").partition("\n")
    if first.strip() != "---":
        return {}, text
    head, ended, below = rest.partition("\n---")
    if not ended:
        raise ToolError(f"the front matter of {SKILL_FILE} has no end")
    try:
        with library("tools", "yaml"):
            found: Any = read_yaml(head)
    except ValueError as error:
        raise ToolError(f"the front matter of {SKILL_FILE} is no YAML: {error}") from None
    about = cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else dict[str, Any]()
    return about, below.partition("\n")[2].lstrip("\n")
