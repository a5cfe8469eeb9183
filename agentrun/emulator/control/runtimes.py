"""Agent runtimes and their versions: code that really runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrun._core.values import section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.credentials import Credentials
from agentrun.emulator.control.starting import Starting
from agentrun.emulator.instances import LATEST, Instances, Key
from agentrun.emulator.lifecycle import CREATE, UPDATE
from agentrun.emulator.packages import Packages, without_upload
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, Scope, field_in, field_is, matches
from agentrun.emulator.wire.envelope import already_exists, conflict, invalid, not_found, unsupported

KIND = Kind(
    "AgentRuntime",
    "agent runtime",
    "AgentRuntime",
    "agentRuntimeId",
    "agentRuntimeName",
    "ar",
    secrets=(
        "environmentVariables",
        "containerConfiguration.registryConfig.authConfig.password",
    ),
    references=("environmentVariables",),
)
VERSION = Kind(
    "AgentRuntimeVersion",
    "agent runtime version",
    "AgentRuntimeVersion",
    "agentRuntimeVersionId",
    "agentRuntimeVersion",
    "arv",
    secrets=KIND.secrets,
)
ARTIFACTS = ("Code", "Container")
_DEFAULTS = {"sessionConcurrencyLimitPerInstance": 1}


class Runtimes:
    """The operations on agent runtimes and their versions."""

    def __init__(
        self,
        resources: Resources,
        versions: Resources,
        endpoints: Resources,
        credentials: Credentials,
        running: Instances,
        kept: Packages,
    ) -> None:
        self.resources = resources
        self.versions = versions
        self._endpoints = endpoints
        self._credentials = credentials
        self._running = running
        self._packages = kept
        self._starting = Starting(resources, running)

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateAgentRuntime": self.create,
            "GetAgentRuntime": self.get,
            "UpdateAgentRuntime": self.update,
            "DeleteAgentRuntime": self.delete,
            "ListAgentRuntimes": self.list,
            "PublishRuntimeVersion": self.publish,
            "ListAgentRuntimeVersions": self.list_versions,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a runtime and start it: CREATING, then READY once it answers, or CREATE_FAILED with the reason."""
        name, owner = call.body["agentRuntimeName"], call.tenant.access_key_id
        document = {**_DEFAULTS, **without_upload(call.body), "agentRuntimeVersion": LATEST, "owner": owner}
        self._credentials.check_guard(call.scope, document)
        self._check_runnable(document)
        # Before the code is kept, so that a refused request leaves nothing behind.
        if self.resources.find_by_name(call.scope, name):
            raise already_exists(KIND.noun, name)
        document["package"] = await self._packages.take(section(call.body, "codeConfiguration"))
        record = self.resources.create(call.tenant, name, document)
        arn = f"acs:agentrun:{call.scope.region}:{call.scope.account}:runtimes/{record.id}"
        record = self.resources.hold(record.with_document(agentRuntimeArn=arn))
        self._starting.begin(record, self.key(record), CREATE)
        return self.resources.shown(record)

    async def get(self, call: Call) -> dict[str, Any]:
        """A runtime, or one of its published versions."""
        record = self.resources.get(call.scope, call.label)
        version = call.query.get("agentRuntimeVersion")
        return self._shown(record if version in (None, "", LATEST) else self.version(record, version))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change a runtime and start it anew: UPDATING, then READY or UPDATE_FAILED."""
        record = self.resources.get(call.scope, call.label)
        changes = without_upload(call.body, record.document.get("codeConfiguration"))
        changes["artifactType"] = record.document["artifactType"]
        self._check_runnable({**record.document, **changes})
        self._credentials.check_guard(call.scope, changes)
        code = section(call.body, "codeConfiguration")
        if code.get("zipFile") or code.get("ossBucketName"):
            changes["package"] = await self._packages.take(code)
            record = self.resources.get(call.scope, call.label)
        changed = self.resources.hold(self.resources.update(record, changes))
        await self._running.replace(self.key(changed))
        self._starting.begin(changed, self.key(changed), UPDATE)
        return self._shown(changed)

    async def delete(self, call: Call) -> dict[str, Any]:
        """Stop a runtime and remove it with its endpoints and versions."""
        record = self.resources.get(call.scope, call.label)
        leaving = self.resources.delete(record)
        await self._running.stop(call.scope, record.id)
        for below in (self._endpoints, self.versions):
            for child in below.children(call.scope, record.id):
                below.store.delete(child)
        return self._shown(leaving)

    async def list(self, call: Call) -> dict[str, Any]:
        """One page of runtimes."""
        query = call.query
        filters = [
            *named(query.get("agentRuntimeName"), query.get("searchMode")),
            *matches("status", query.get("status")),
            *field_is("workspaceId", query.get("workspaceId")),
            *field_in("workspaceId", query.get("workspaceIds")),
            *_by_tags(query.get("systemTags")),
        ]
        return self.resources.page(call.scope, query, filters)

    async def publish(self, call: Call) -> dict[str, Any]:
        """Keep what LATEST is now as the next version."""
        record = self.resources.get(call.scope, call.label)
        if record.status != "READY":
            raise conflict(f"agent runtime {record.name} is {record.status}; only a READY one can be published")
        number = str(record.document.get("published", 0) + 1)
        document = {**record.document, "description": call.body.get("description"), "runtimeName": record.name}
        published = self.versions.create(call.tenant, number, document, parent=record.id)
        self.resources.save(record.with_document(published=int(number)))
        return self._version_shown(published)

    async def list_versions(self, call: Call) -> dict[str, Any]:
        """One page of a runtime's published versions."""
        record = self.resources.get(call.scope, call.label)
        page = self.versions.page(call.scope, call.query, parent=record.id)
        return {**page, "items": [{**item, "agentRuntimeName": record.name} for item in page["items"]]}

    # For the gateway

    def key(self, record: Record) -> Key:
        """Which process a record means: LATEST for a runtime, its number for a version."""
        if record.kind == VERSION.name:
            return Key(record.scope, record.parent, record.name)
        return Key(record.scope, record.id, LATEST)

    def version(self, record: Record, number: str) -> Record:
        """A published version of a runtime; raises ServiceError (404)."""
        found = self.versions.find_by_name(record.scope, number, record.id)
        if found is None:
            raise not_found("agent runtime version", f"{number} of {record.name}")
        return found

    def anywhere(self, label: str, account: str | None) -> Sequence[Record]:
        """The runtimes that a name or an id means, of one account or of all; for who has not said who calls."""
        named = self.resources.store.named(KIND.name, label)
        found = [self.resources.find(each.scope, each.id) for each in named if account in (None, each.scope.account)]
        return [record for record in found if record]

    def by_name(self, scope: Scope, name: str) -> Record:
        """A runtime by its name or its id; raises ServiceError (404)."""
        found = self.resources.find_by_name(scope, name) or self.resources.find(scope, name)
        if found is None:
            raise not_found("agent runtime", name)
        return found

    # Parts

    def _check_runnable(self, document: Mapping[str, Any]) -> None:
        artifact = document["artifactType"]
        if artifact not in ARTIFACTS:
            raise invalid(f"artifactType must be one of {', '.join(ARTIFACTS)}, not {artifact}")
        if artifact == "Container":
            raise unsupported("the process backend runs code packages; container images need the docker backend")
        if not section(document, "codeConfiguration").get("command"):
            raise invalid("codeConfiguration.command is required: the program to start and its arguments")
        if not 1 <= document["port"] <= 65535:
            raise invalid(f"port must be from 1 to 65535, not {document['port']}")
        for name in ("nasConfig", "ossMountConfig"):
            if section(document, name).get("mountPoints"):
                raise unsupported(f"{name}: the emulator cannot mount network storage")

    def recover(self) -> None:
        """Finish what an earlier emulator did not."""
        self._starting.recover()

    async def close(self) -> None:
        """Stop waiting for runtimes that are coming up."""
        await self._starting.close()

    def _shown(self, record: Record) -> dict[str, Any]:
        shown = self.resources.shown(record)
        if record.status == "READY" and (reason := self._running.crash(self.key(record))):
            shown["statusReason"] = reason
        return shown

    def _version_shown(self, record: Record) -> dict[str, Any]:
        return {**self.versions.shown(record), "agentRuntimeName": record.document["runtimeName"]}


def named(name: str | None, mode: str | None) -> list[tuple[str, tuple[Any, ...]]]:
    """The filter of a list by a name, which is a prefix unless the search mode says otherwise."""
    if not name or mode == "exact":
        return matches("name", name)
    if mode not in (None, "", "prefix", "fuzzy"):
        raise invalid(f"searchMode must be exact, prefix or fuzzy, not {mode}")
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = f"%{escaped}%" if mode == "fuzzy" else f"{escaped}%"
    return [("name LIKE ? ESCAPE '\\'", (pattern,))]


def _by_tags(tags: str | None) -> list[tuple[str, tuple[Any, ...]]]:
    return [
        ("EXISTS (SELECT 1 FROM json_each(document, '$.systemTags') WHERE value = ?)", (tag,))
        for tag in (tags or "").split(",")
        if tag
    ]
