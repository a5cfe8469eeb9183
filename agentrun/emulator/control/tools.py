"""Tools: MCP servers, functions of HTTP APIs and skills that agents use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.values import section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.starting import Starting
from agentrun.emulator.control.tool_kinds import SKILL, SPEC, check, is_hosted, needs_code
from agentrun.emulator.control.tool_specs import masked
from agentrun.emulator.instances import LATEST, Key
from agentrun.emulator.lifecycle import CREATE, UPDATE
from agentrun.emulator.packages import Packages, without_upload
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, Scope, field_in, field_is, matches
from agentrun.emulator.tool_instances import ToolInstances
from agentrun.emulator.wire.envelope import already_exists, invalid, not_found

KIND = Kind(
    "Tool",
    "tool",
    "Tool",
    "toolId",
    "toolName",
    "tool",
    updated_field="updatedAt",
    # Headers and environment of MCP servers are in the specification.
    secrets=("environmentVariables", SPEC),
    references=("environmentVariables", SPEC),
    by_name=True,
)


class Tools:
    """The operations on tools."""

    def __init__(
        self, resources: Resources, credentials: Resources, running: ToolInstances, packages: Packages
    ) -> None:
        self.resources = resources
        self._credentials = credentials
        self._running = running
        self._packages = packages
        self._starting = Starting(resources, running)

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateTool": self.create,
            "GetTool": self.get,
            "UpdateTool": self.update,
            "DeleteTool": self.delete,
            "ListTools": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a tool; one that the emulator runs is CREATING until it answers, or CREATE_FAILED with the reason."""
        name, document = call.body["toolName"], without_upload(call.body)
        self._check(call.scope, document)
        # Before the code is kept, so that a refused request leaves nothing behind.
        if self.resources.find_by_name(call.scope, name):
            raise already_exists(KIND.noun, name)
        if needs_code(document):
            document["package"] = await self._package(document, section(call.body, "codeConfiguration"))
        record = self.resources.create(call.tenant, name, document)
        return self.resources.shown(self._begun(record, CREATE))

    async def get(self, call: Call) -> dict[str, Any]:
        """One tool, with its secrets; why its process is down when it is."""
        record = self.resources.get(call.scope, call.label)
        shown = self.resources.shown(record)
        if record.status == "READY" and (reason := await self._running.trouble(key(record))):
            shown["statusReason"] = reason
        return shown

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given; a process is started anew, and its sessions end."""
        record = self.resources.get(call.scope, call.label)
        changes = without_upload(call.body, record.document.get("codeConfiguration"))
        if "mcpConfig" in changes:
            changes["mcpConfig"] = {**section(record.document, "mcpConfig"), **changes["mcpConfig"]}
        whole = {**record.document, **changes}
        self._check(call.scope, whole)
        code = section(call.body, "codeConfiguration")
        given = code.get("zipFile") or code.get("ossBucketName")
        if needs_code(whole) and (given or "package" not in record.document):
            changes["package"] = await self._package(whole, code)
            record = self.resources.get(call.scope, call.label)
        changed = self.resources.update(record, changes)
        await self._running.replace(key(changed))
        return self.resources.shown(self._begun(changed, UPDATE))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Stop a tool and remove it."""
        record = self.resources.get(call.scope, call.label)
        leaving = self.resources.delete(record)
        await self._running.replace(key(record))
        return self.resources.shown(leaving)

    async def list(self, call: Call) -> dict[str, Any]:
        """One page of tools, with secrets masked."""
        query = call.query
        filters = [
            *matches("name", query.get("toolName")),
            *field_is("toolType", query.get("toolType")),
            *field_is("workspaceId", query.get("workspaceId")),
            *field_in("workspaceId", query.get("workspaceIds")),
        ]
        page = self.resources.page(call.scope, query, filters)
        for item in page["items"]:
            if SPEC in item:
                item[SPEC] = masked(self.by_name(call.scope, item["toolName"]).document[SPEC])
        return page

    # For the gateway and the platform

    def by_name(self, scope: Scope, name: str) -> Record:
        """A tool by its name; raises ServiceError (404)."""
        found = self.resources.find_by_name(scope, name)
        if found is None:
            raise not_found(KIND.noun, name)
        return found

    def recover(self) -> None:
        """Finish what an earlier emulator did not."""
        self._starting.recover()

    async def close(self) -> None:
        """Stop waiting for tools that are coming up."""
        await self._starting.close()

    # Parts

    def _check(self, scope: Scope, document: Mapping[str, Any]) -> None:
        check(document)
        name = document.get("credentialName")
        if name and self._credentials.find_by_name(scope, name) is None:
            raise invalid(f"credentialName: there is no credential {name}; create it first")

    async def _package(self, document: Mapping[str, Any], code: Mapping[str, Any]) -> str:
        """The digest of the code of a tool, in which what it needs was found. Raises ServiceError (400)."""
        digest = await self._packages.take(code)
        if document["toolType"] != SKILL:
            self._running.check_command({**document, "package": digest})
        elif not any(self._packages.folder(digest).rglob("SKILL.md")):
            raise invalid("codeConfiguration.zipFile of a skill needs a SKILL.md")
        return digest

    def _begun(self, record: Record, verb: str) -> Record:
        """A tool on its way: one with a process is held until that answers."""
        if not is_hosted(record.document):
            return record
        held = self.resources.hold(record)
        self._starting.begin(held, key(held), verb)
        return held


def key(record: Record) -> Key:
    """Which process a tool is."""
    return Key(record.scope, record.id, LATEST)
