"""The gateway as a server: the application of a file, and what it may be asked to do."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import uvicorn

from agentrun._serving.spans import TracingError
from agentrun.gateway.app import GatewayApp
from agentrun.gateway.file import GatewayFile
from agentrun.gateway.file import GatewayFileError as GatewayFileError
from agentrun.gateway.file import load as load
from agentrun.gateway.gateway import Gateway
from agentrun.gateway.keys import Keys
from agentrun.gateway.observability.tracing import find_tracing
from agentrun.gateway.plan import Plan, PlanError
from agentrun.gateway.safety.checks import CheckFunction
from agentrun.gateway.state import REDIS_URL, open_state

CONFIG_VARIABLE = "AGENTRUN_GATEWAY_CONFIG"
_DRAIN_SECONDS = 30
_LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def build() -> GatewayApp:
    """The application of the file that AGENTRUN_GATEWAY_CONFIG names; each worker process makes its own."""
    logging.basicConfig(format=_LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
    return application(load(Path(os.environ[CONFIG_VARIABLE])))


def application(file: GatewayFile) -> GatewayApp:
    """The application of a file; raises GatewayFileError."""
    try:
        gateway = Gateway(open_state(), functions=functions_of(file), tracing=find_tracing())
    except (ImportError, ValueError, TracingError) as error:
        raise GatewayFileError(str(error)) from error
    plans = file.plans()
    for plan in plans:
        _check(gateway, plan)
    return GatewayApp(plans, Keys(file.callers()), gateway)


def _check(gateway: Gateway, plan: Plan) -> None:
    try:
        gateway.check(plan)
    except PlanError as error:
        raise GatewayFileError(f"proxies.{plan.name}: {error}") from error


def functions_of(file: GatewayFile) -> Mapping[str, CheckFunction]:
    """The content checks that a file names as `module:function`; raises GatewayFileError."""
    return {name: _imported(name, place) for name, place in file.functions.items()}


def _imported(name: str, place: str) -> CheckFunction:
    module, _, attribute = place.partition(":")
    try:
        found: CheckFunction = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise GatewayFileError(f"functions.{name}: {place!r} cannot be imported: {error}") from error
    if not callable(found):
        raise GatewayFileError(f"functions.{name}: {place!r} is a {type(found).__name__}, not a function")
    return found


def serve(config: Path, host: str, port: int, workers: int) -> None:
    """Serve a file until a signal ends it; calls under way are answered before, for half a minute at most."""
    os.environ[CONFIG_VARIABLE] = str(config.resolve())
    uvicorn.run(
        f"{__name__}:build",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # Longer than clients keep an idle connection, so that it is never we who close one that is about to be used.
        timeout_keep_alive=120,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )


def check_workers(file: GatewayFile, workers: int) -> None:
    """Raise GatewayFileError where several processes would each grant a whole limit."""
    if workers == 1 or os.environ.get(REDIS_URL):
        return
    limited = [plan.name for plan in file.plans() if _is_limited(plan)]
    if limited:
        raise GatewayFileError(
            f"proxies.{limited[0]} has limits or budgets, which {workers} workers can keep together only through "
            f"Redis: set {REDIS_URL}, or use --workers 1"
        )


def _is_limited(plan: Plan) -> bool:
    policies, more = plan.policies, plan.gateway
    places = policies.concurrency_limit or any(target.concurrency_limit for target in plan.targets)
    return bool(places or policies.token_rate_limiter or more.rate_limits or more.budgets)
