"""Services that policies ask: one for embeddings, one that moderates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun._serving.upstream import UpstreamError
from agentrun.gateway.call import dump
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.routing.upstreams import Upstreams, Wait

_WAIT = Wait(connect=2.0, first=10.0)
_LARGEST_ANSWER = 4 * 2**20


class HelperError(Exception):
    """A service that a policy needs did not answer as it should."""


class Helpers:
    """Asks the services that the policies of a plan name."""

    def __init__(self, plan: Plan, upstreams: Upstreams) -> None:
        self._plan = plan
        self._upstreams = upstreams

    async def embed(self, text: str) -> Sequence[float]:
        """The vector of a text, by the service of the semantic cache."""
        semantic = self._plan.gateway.cache.semantic
        assert semantic is not None
        answer = await self._ask(semantic.model_service_name, "embeddings", semantic.model_name, text)
        vector: Any = answer["embedding"]
        if not is_list(vector):
            raise HelperError("the embedding service gave no vector")
        return vector

    async def moderate(self, service: str, text: str) -> Sequence[str]:
        """The categories of harmful content that a text has, by a service that moderates."""
        answer = await self._ask(service, "moderations", None, text)
        categories: Any = answer.get("categories")
        found = [name for name, holds in categories.items() if holds] if is_object(categories) else []
        return found or (["flagged"] if answer.get("flagged") else [])

    async def _ask(self, service: str, operation: str, model: str | None, text: str) -> Mapping[str, Any]:
        """The first thing that a service answers about a text; raises HelperError."""
        target = self._plan.helpers[service]
        body = dump({"model": model or next(iter(target.models), service), "input": text})
        try:
            answer = json.loads(await self._read(target, operation, body))
            first: Any = (answer.get("data") or answer.get("results"))[0]
        except (UpstreamError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise HelperError(f"service {service} did not answer as /{operation} does: {error}") from error
        if not is_object(first):
            raise HelperError(f"service {service} did not answer as /{operation} does")
        return first

    async def _read(self, target: Target, operation: str, body: bytes) -> bytes:
        reply = await self._upstreams.ask(target, operation, (), body, _WAIT)
        try:
            content = b""
            while not reply.is_complete() and len(content) < _LARGEST_ANSWER:
                content += await reply.piece(_WAIT.first)
        finally:
            reply.close()
        if reply.status != 200:
            raise HelperError(f"endpoint {target.name} answered with status {reply.status}")
        return content
