"""From a template and a request to what a backend is asked to start."""

from __future__ import annotations

from typing import Any

from agentrun._core.values import section
from agentrun.emulator.backends.base import (
    CREDENTIALS,
    IMAGES,
    LEVELS,
    MOUNTS,
    NETWORK_POLICY,
    Backend,
    Image,
    Isolation,
    Limits,
    NetworkPolicy,
    SandboxSpec,
)
from agentrun.emulator.backends.policy import ALLOW_LIST
from agentrun.emulator.control.injections import CredentialRequest, Injections, Owner
from agentrun.emulator.control.network_policies import default_policy
from agentrun.emulator.control.sandbox_requests import CreateRequest
from agentrun.emulator.mounts import STORAGE_FIELDS, Mounts, check_apart
from agentrun.emulator.store import Record
from agentrun.emulator.usage import User
from agentrun.emulator.wire.envelope import ServiceError, conflict, invalid, unsupported

CODE_INTERPRETER, CUSTOM_IMAGE = "CodeInterpreter", "CustomImage"
SUPPORTED = (CODE_INTERPRETER, CUSTOM_IMAGE)
_HOW_TO_GET = {
    IMAGES: "container images; start the emulator with --backend docker",
    MOUNTS: "mounts",
    NETWORK_POLICY: "network allow-lists",
    CREDENTIALS: "proxy that could put credentials in, because it cannot make namespaces",
}


def check_template(template: Record) -> None:
    """Refuse a template that no sandbox can be made from now. Raises ServiceError (409, 501)."""
    if template.status not in ("READY", "UPDATING"):
        raise conflict(f"template {template.name} is {template.status}")
    kind = template.document["templateType"]
    if kind not in SUPPORTED:
        raise unsupported(f"this emulator runs {', '.join(SUPPORTED)} sandboxes; {kind} is not there yet")


def specification(
    sandbox_id: str,
    template: Record,
    request: CreateRequest,
    mounts: Mounts,
    public: NetworkPolicy,
    injections: Injections,
) -> SandboxSpec:
    """What a backend is to start; `public` is what a template with the network mode PUBLIC may reach.

    Raises ServiceError: what cannot be (400), a folder that is not shared (403).
    """
    document = template.document
    injection, environment = injections.prepare(
        template.scope,
        Owner(owner_name(sandbox_id), User("sandbox", sandbox_id, sandbox_id)),
        [*_of_template(template, request, injections), *request.credentials],
        document.get("environmentVariables") or {},
    )
    mode = section(document, "networkConfiguration").get("networkMode")
    storage = {**{name: document.get(name) for name in STORAGE_FIELDS}, **request.storage}
    return SandboxSpec(
        sandbox_id,
        environment,
        Limits(memory=document["memory"], cpu=document["cpu"], disk=document.get("diskSize") or Limits.disk),
        network=request.network or default_policy(mode, public),
        mounts=check_apart([*mounts.shared(request.mounts), *mounts.stored(storage)]),
        image=_image(template),
        lowest_level=request.isolation_level,
        injection=injection,
    )


def owner_name(sandbox_id: str) -> str:
    """How a sandbox is called where its credentials are spoken of."""
    return f"sandbox {sandbox_id}"


def _of_template(template: Record, request: CreateRequest, injections: Injections) -> list[CredentialRequest]:
    """The outbound credential that a template names, unless the request says itself how it wants that one."""
    name = section(template.document, "credentialConfiguration").get("credentialName")
    asked = any(one.name == name for one in request.credentials)
    if not name or asked or injections.guards(template.scope, name):
        return []
    return [CredentialRequest(name)]


def _image(template: Record) -> Image | None:
    if template.document["templateType"] != CUSTOM_IMAGE:
        return None
    container = section(template.document, "containerConfiguration")
    if not container.get("image"):
        raise invalid(f"template {template.name} has no containerConfiguration.image, which a {CUSTOM_IMAGE} needs")
    return Image(container["image"], tuple(container.get("command") or ()), container.get("port") or Image.port)


def check_capabilities(spec: SandboxSpec, backend: Backend) -> None:
    """Refuse what a backend cannot do (501), and a weaker isolation than is acceptable (503); ServiceError."""
    needed = {
        IMAGES: spec.image,
        MOUNTS: spec.mounts,
        NETWORK_POLICY: spec.network.mode == ALLOW_LIST,
        CREDENTIALS: spec.injection,
    }
    for capability, wanted in needed.items():
        if wanted and capability not in backend.capabilities:
            raise unsupported(f"the {backend.name} backend on this machine has no {_HOW_TO_GET[capability]}")
    check_level(spec, backend.isolation)


def check_level(spec: SandboxSpec, isolation: Isolation) -> None:
    """Refuse an isolation that is weaker than the lowest acceptable level. Raises ServiceError (503)."""
    lowest, reached = spec.lowest_level, isolation.level
    if lowest is None or (reached in LEVELS and LEVELS.index(reached) >= LEVELS.index(lowest)):
        return
    missing = f" (missing: {', '.join(isolation.missing)})" if isolation.missing else ""
    raise ServiceError(
        503,
        "ERR_SANDBOX_UNAVAILABLE",
        f"sandbox {spec.sandbox_id} needs the isolation level {lowest}, and here {reached} is reached{missing}; "
        f"`agentrun emulator doctor` says how to get more, or ask for the isolationLevel {reached}",
    )


def shown_isolation(isolation: Isolation) -> dict[str, Any]:
    """An isolation as an object."""
    return {"level": isolation.level, "missing": list(isolation.missing)}
