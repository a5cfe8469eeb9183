"""Endpoints of agent runtimes: names under which versions are called, with weights between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from agentrun._core.values import section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.runtimes import Runtimes, named
from agentrun.emulator.instances import LATEST
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record
from agentrun.emulator.wire.envelope import invalid, not_found

KIND = Kind(
    "AgentRuntimeEndpoint",
    "agent runtime endpoint",
    "AgentRuntimeEndpoint",
    "agentRuntimeEndpointId",
    "agentRuntimeEndpointName",
    "are",
)
DEFAULT = "Default"


@dataclass
class Turns:
    """Smooth weighted round robin: over time each choice comes up exactly as often as its weight says."""

    credit: dict[str, float] = field(default_factory=dict[str, float])

    def next(self, weights: Mapping[str, float]) -> str:
        """The choice whose turn it is."""
        total = sum(weights.values())
        self.credit = {name: self.credit.get(name, 0.0) + weight for name, weight in weights.items()}
        chosen = max(self.credit, key=self.credit.__getitem__)
        self.credit[chosen] -= total
        return chosen


def weights(document: Mapping[str, Any]) -> dict[str, float]:
    """The versions that an endpoint calls and their weights.

    Weights are shares of one; what they leave over goes to the target version. Shares that are more than one
    together count as proportions.
    """
    target = document.get("targetVersion") or LATEST
    shares: dict[str, float] = {}
    for entry in _entries(document):
        if entry.get("weight"):
            shares[entry["version"]] = shares.get(entry["version"], 0.0) + entry["weight"]
    left = 1.0 - sum(shares.values())
    if left > 1e-9:
        shares[target] = shares.get(target, 0.0) + left
    return shares


def _entries(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    entries: Sequence[Mapping[str, Any]] = section(document, "routingConfiguration").get("versionWeights") or ()
    return entries


class Endpoints:
    """The operations on endpoints."""

    def __init__(self, resources: Resources, runtimes: Runtimes) -> None:
        self._resources = resources
        self._runtimes = runtimes
        self._turns: dict[str, Turns] = {}
        self.public_url = ""

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateAgentRuntimeEndpoint": self.create,
            "GetAgentRuntimeEndpoint": self.get,
            "UpdateAgentRuntimeEndpoint": self.update,
            "DeleteAgentRuntimeEndpoint": self.delete,
            "ListAgentRuntimeEndpoints": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add an endpoint; its name is Default unless given."""
        runtime = self._runtimes.resources.get(call.scope, call.label)
        name = call.body.get("agentRuntimeEndpointName") or DEFAULT
        document = {"targetVersion": LATEST, **call.body, "agentRuntimeId": runtime.id}
        self._check(runtime, document)
        record = self._resources.create(call.tenant, name, document, parent=runtime.id)
        arn = f"{runtime.document['agentRuntimeArn']}/endpoints/{record.id}"
        record = record.with_document(agentRuntimeEndpointArn=arn)
        self._resources.save(record)
        return self._shown(runtime, record)

    async def get(self, call: Call) -> dict[str, Any]:
        """One endpoint."""
        return self._shown(*self._find(call))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given."""
        runtime, record = self._find(call)
        changes = {key: value for key, value in call.body.items() if key != "deleteScalingConfig"}
        if call.body.get("deleteScalingConfig"):
            changes["scalingConfig"] = None
        self._check(runtime, {**record.document, **changes})
        return self._shown(runtime, self._resources.update(record, changes))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove an endpoint."""
        runtime, record = self._find(call)
        self._turns.pop(record.id, None)
        return self._shown(runtime, self._resources.delete(record))

    async def list(self, call: Call) -> dict[str, Any]:
        """One page of a runtime's endpoints."""
        runtime = self._runtimes.resources.get(call.scope, call.label)
        filters = named(call.query.get("endpointName"), call.query.get("searchMode") or "exact")
        page = self._resources.page(call.scope, call.query, filters, parent=runtime.id)
        for item in page["items"]:
            item["endpointPublicUrl"] = self._url(runtime, item["agentRuntimeEndpointName"])
        return page

    # For the gateway

    def choose(self, runtime: Record, name: str) -> Record:
        """The version of a runtime that the next request to an endpoint goes to.

        A runtime without an endpoint named Default answers there with its latest version. Raises ServiceError (404).
        """
        endpoint = self._named(runtime, name)
        if endpoint is None:
            return runtime
        turns = self._turns.setdefault(endpoint.id, Turns())
        return self._version(runtime, turns.next(weights(endpoint.document)))

    def versions(self, runtime: Record, name: str) -> Sequence[Record]:
        """All versions of a runtime that an endpoint calls; takes nobody's turn. Raises ServiceError (404)."""
        endpoint = self._named(runtime, name)
        return [runtime] if endpoint is None else [self._version(runtime, each) for each in weights(endpoint.document)]

    def _named(self, runtime: Record, name: str) -> Record | None:
        endpoint = self._resources.find_by_name(runtime.scope, name, runtime.id)
        if endpoint is not None and endpoint.status != "DELETING":
            return endpoint
        if name == DEFAULT:
            return None
        raise not_found("agent runtime endpoint", f"{name} of {runtime.name}")

    def _version(self, runtime: Record, version: str) -> Record:
        return runtime if version == LATEST else self._runtimes.version(runtime, version)

    def _find(self, call: Call) -> tuple[Record, Record]:
        runtime = self._runtimes.resources.get(call.scope, call.label)
        record = self._resources.get(call.scope, call.names[1])
        if record.parent != call.label:
            raise not_found("agent runtime endpoint", call.names[1])
        return runtime, record

    def _check(self, runtime: Record, document: Mapping[str, Any]) -> None:
        for entry in _entries(document):
            if not entry.get("version"):
                raise invalid("routingConfiguration.versionWeights: each entry needs a version")
            if entry.get("weight", 0) < 0:
                raise invalid(f"routingConfiguration: the weight of version {entry['version']} is negative")
        for version in weights(document):
            if version != LATEST and self._runtimes.versions.find_by_name(runtime.scope, version, runtime.id) is None:
                raise invalid(f"version {version} of {runtime.name} was not published; publish it or use {LATEST}")

    def _shown(self, runtime: Record, record: Record) -> dict[str, Any]:
        return {**self._resources.shown(record), "endpointPublicUrl": self._url(runtime, record.name)}

    def _url(self, runtime: Record, name: str) -> str:
        """Where an endpoint is called; not stored, because names and the emulator's port may change."""
        runtime_name, endpoint_name = quote(runtime.name, safe=""), quote(name, safe="")
        return f"{self.public_url}/agent-runtimes/{runtime_name}/endpoints/{endpoint_name}/invocations"
