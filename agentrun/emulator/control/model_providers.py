"""Model providers: a list that ships with the package, of where models are offered in the OpenAI protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.wire.table import whole_number

_FILE = "model_providers.json"


class ModelProviders:
    """The operation on model providers."""

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {"ListModelProviders": self.list}

    async def list(self, call: Call) -> dict[str, Any]:
        """One page; a provider has an item for each kind of models that it offers."""
        query = call.query
        number = whole_number(query, "pageNumber", 1, most=10**6)
        size = whole_number(query, "pageSize", 10, most=100)
        found = [item for item in _providers() if _fits(item, query)]
        items = found[(number - 1) * size : number * size]
        return {"items": items, "pageNumber": number, "pageSize": size, "total": len(found)}


def _fits(item: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    provider, kind, model = query.get("provider"), query.get("modelType"), query.get("modelName")
    return (
        (not provider or item["providerName"] == provider)
        and (not kind or item["modelType"] == kind)
        and (not model or model in item["models"])
    )


@lru_cache(maxsize=1)
def _providers() -> tuple[Mapping[str, Any], ...]:
    text = files("agentrun.emulator.control").joinpath(_FILE).read_text(encoding="utf-8")
    return tuple(json.loads(text))
