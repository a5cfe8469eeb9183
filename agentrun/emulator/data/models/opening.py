"""How the gateway of models comes with its first call: to import this loads what most runs do not need."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentrun.emulator.auth import Tenant
from agentrun.emulator.data.models.gateway import ModelGateway
from agentrun.emulator.data.models.plans import Plans
from agentrun.emulator.http import Request
from agentrun.emulator.inbound.gate import Gate
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.recorded import PlatformUpstreams
from agentrun.emulator.recordings import Recordings
from agentrun.emulator.resources import Resources
from agentrun.gateway.gateway import Gateway
from agentrun.gateway.observability.tracing import find_tracing
from agentrun.gateway.safety.checks import CheckFunction


async def open_gateway(
    stored: tuple[Resources, Resources, Resources],
    outbound: OutboundCredentials,
    recordings: Recordings,
    port: Callable[[], int],
    functions: Mapping[str, CheckFunction],
    tenant_of: Callable[[Request], Tenant],
    gate: Gate,
) -> ModelGateway:
    """The gateway of the proxies and services that are `stored`, beside the credentials that they name; it works."""
    plans = Plans(*stored, outbound)
    upstreams = PlatformUpstreams(recordings.through, port, plans.note_use)
    gateway = Gateway(None, upstreams, functions=functions, tracing=find_tracing())
    opened = ModelGateway(plans, gateway, tenant_of, gate)
    await opened.start()
    return opened
