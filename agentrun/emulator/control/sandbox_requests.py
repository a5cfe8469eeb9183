"""What a request about a sandbox says, read strictly: the contract's fields, and those that only the emulator has."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from agentrun._core.values import is_object
from agentrun.emulator.backends.base import LEVELS, NetworkPolicy
from agentrun.emulator.control.injections import CredentialRequest, read_credential
from agentrun.emulator.control.network_policies import read_policy
from agentrun.emulator.mounts import READ_ONLY, STORAGE_FIELDS, MountRequest
from agentrun.emulator.wire.envelope import invalid
from agentrun.emulator.wire.schema import SchemaCheck, nearest, without_empty_lists
from agentrun.emulator.wire.table import table

CREATE, TIMEOUT, METADATA, POLICY = "CreateSandboxInput", "SandboxTimeout", "SandboxMetadata", "NetworkPolicy"
MOST_METADATA = 64
LONGEST_KEY, LONGEST_VALUE = 63, 1024
LONGEST_LABEL = 256
MOST_SECONDS = 30 * 24 * 3600
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_METADATA_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")


@dataclass(frozen=True)
class OwnerRequest:
    """The process whose end is to end the sandbox."""

    pid: int
    start_time: str | None = None


@dataclass(frozen=True)
class CreateRequest:
    """A sandbox as it is asked for; times in seconds, None where the template decides.

    `storage` holds the contract's mounts as they came. `digest` tells two requests with the same `client_token` apart.
    """

    template_name: str
    sandbox_id: str | None = None
    idle_seconds: int | None = None
    life_seconds: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    client_token: str | None = None
    digest: str | None = None
    session_key: str | None = None
    network: NetworkPolicy | None = None
    mounts: tuple[MountRequest, ...] = ()
    storage: Mapping[str, Any] = field(default_factory=dict[str, Any])
    auto_resume: bool = True
    owner: OwnerRequest | None = None
    isolation_level: str | None = None
    credentials: tuple[CredentialRequest, ...] = ()


@dataclass(frozen=True)
class TimeoutRequest:
    """New times in seconds: the rest of the life from now, and how long it may be idle; None leaves one as it is."""

    life_seconds: float | None
    idle_seconds: float | None


def _fields(**types: str) -> dict[str, dict[str, str]]:
    return {name: {"type": kind} for name, kind in types.items()}


def _required(**types: str) -> dict[str, dict[str, Any]]:
    return {name: {"type": kind, "required": True} for name, kind in types.items()}


# What the emulator accepts when a sandbox is created, beyond the contract.
EXTENSIONS = _fields(
    metadata="Dict[str, str]",
    clientToken="str",
    sessionKey="str",
    timeoutSeconds="float",
    network=POLICY,
    mounts="List[SandboxMount]",
    autoResume="bool",
    owner="SandboxOwner",
    isolationLevel="str",
    credentials="List[SandboxCredential]",
)


@lru_cache(maxsize=1)
def _checks() -> SchemaCheck:
    contract = table().schemas
    schemas: dict[str, Any] = {
        **contract,
        CREATE: {**contract[CREATE], **EXTENSIONS},
        # The data plane writes enableTls where the control plane has enableTLS.
        "NASMountConfig": {**contract["NASMountConfig"], **_fields(enableTls="bool")},
        POLICY: {**_required(mode="str"), **_fields(allow="List[NetworkRule]")},
        "NetworkRule": _fields(domain="str", cidr="str", ports="List[int]", methods="List[str]", paths="List[str]"),
        "SandboxMount": {**_required(source="str", target="str"), **_fields(mode="str")},
        "SandboxCredential": {
            **_required(credentialName="str"),
            **_fields(environment="Dict[str, str]", hosts="List[str]", placeholderPrefix="str", places="List[str]"),
        },
        "SandboxOwner": {**_required(pid="int"), **_fields(startTime="number or text")},
        TIMEOUT: _fields(seconds="float", idleSeconds="float"),
    }
    return SchemaCheck(schemas)


def _check(schema: str, body: Any) -> dict[str, Any]:
    problems = _checks().problems(schema, body)
    if problems:
        raise invalid("; ".join(problems))
    cleaned: dict[str, Any] = without_empty_lists(body)
    return cleaned


def parse(body: Any) -> CreateRequest:
    """The request to create a sandbox; raises ServiceError (400) with everything that is wrong with it."""
    return read(_check(CREATE, body))


def read(body: Mapping[str, Any]) -> CreateRequest:
    """The same for a body whose fields have been checked; what they say still may not be."""
    network, owner, token = body.get("network"), body.get("owner"), _label(body, "clientToken")
    idle = body.get("sandboxIdleTimeoutSeconds", body.get("sandboxIdleTimeoutInSeconds"))
    return CreateRequest(
        template_name=body["templateName"],
        sandbox_id=_sandbox_id(body.get("sandboxId")),
        idle_seconds=None if idle is None else int(_seconds("sandboxIdleTimeoutSeconds", idle)),
        life_seconds=_optional_seconds(body, "timeoutSeconds"),
        metadata=_metadata(body.get("metadata") or {}),
        client_token=token,
        digest=_digest(body) if token else None,
        session_key=_label(body, "sessionKey"),
        network=None if network is None else read_policy(network),
        mounts=tuple(_mount(one) for one in body.get("mounts") or ()),
        storage={name: body[name] for name in STORAGE_FIELDS if body.get(name)},
        auto_resume=body.get("autoResume", True),
        owner=None if owner is None else _owner(owner),
        isolation_level=_level(body.get("isolationLevel")),
        credentials=tuple(read_credential(one) for one in body.get("credentials") or ()),
    )


def parse_timeout(body: Any) -> TimeoutRequest:
    """The request to change the times of a sandbox; raises ServiceError (400)."""
    given = _check(TIMEOUT, body)
    request = TimeoutRequest(_optional_seconds(given, "seconds"), _optional_seconds(given, "idleSeconds"))
    if request.life_seconds is None and request.idle_seconds is None:
        raise invalid("seconds or idleSeconds is required")
    return request


def parse_network(body: Any) -> NetworkPolicy:
    """The request to change the network policy of a sandbox; raises ServiceError (400)."""
    return read_policy(_check(POLICY, body), "policy")


def parse_metadata(body: Any) -> dict[str, str | None]:
    """The request to change metadata, alone or below `metadata`; None removes a key. Raises ServiceError (400)."""
    inner = body.get("metadata") if is_object(body) else None
    changes = inner if is_object(inner) else body
    if not is_object(changes) or not all(value is None or isinstance(value, str) for value in changes.values()):
        raise invalid("metadata must be an object of texts, or nulls for what is to be removed")
    given: dict[str, str | None] = changes
    _metadata({key: value or "" for key, value in given.items()})
    return given


def merged_metadata(metadata: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The metadata after its changes; raises ServiceError (400) when it became too much."""
    merged = {**metadata, **changes}
    return _metadata({key: value for key, value in merged.items() if value is not None})


def metadata_key(key: str) -> str:
    """A key of metadata; raises ServiceError (400) when none can be called so."""
    if len(key) > LONGEST_KEY or not _METADATA_KEY.fullmatch(key):
        raise invalid(
            f"a metadata key must have 1 to {LONGEST_KEY} letters, digits and any of ._/- between, not {key[:80]!r}"
        )
    return key


# Parts


def _metadata(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MOST_METADATA:
        raise invalid(f"metadata must have at most {MOST_METADATA} entries")
    for key, value in given.items():
        if len(value) > LONGEST_VALUE:
            raise invalid(f"metadata.{metadata_key(key)} must have at most {LONGEST_VALUE} characters")
    return {metadata_key(key): value for key, value in given.items()}


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sandbox_id(given: str | None) -> str | None:
    if given and not _ID.fullmatch(given):
        raise invalid(f"sandboxId must have 1 to 128 letters, digits and any of ._- between, not {given[:80]!r}")
    return given or None


def _label(body: Mapping[str, Any], name: str) -> str | None:
    given: str | None = body.get(name)
    if given is not None and not 0 < len(given) <= LONGEST_LABEL:
        raise invalid(f"{name} must have 1 to {LONGEST_LABEL} characters")
    return given


def _optional_seconds(body: Mapping[str, Any], name: str) -> float | None:
    given = body.get(name)
    return None if given is None else _seconds(name, given)


def _seconds(name: str, given: float) -> float:
    if not 0 < given <= MOST_SECONDS:
        raise invalid(f"{name} must be more than 0 and at most {MOST_SECONDS} seconds, not {given:g}")
    return given


def _mount(given: Mapping[str, Any]) -> MountRequest:
    return MountRequest(given["source"], given["target"], given.get("mode") or READ_ONLY)


def _owner(given: Mapping[str, Any]) -> OwnerRequest:
    started = given.get("startTime")
    return OwnerRequest(int(given["pid"]), None if started is None else str(started))


def _level(given: str | None) -> str | None:
    if given is not None and given not in LEVELS:
        raise invalid(f"isolationLevel {given} is none of {', '.join(LEVELS)}: {nearest(given, LEVELS)}")
    return given
