"""RagFlow: plain HTTP, with the API key that the knowledge base's credential holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentrun._core.api import error_of, parsed, timeouts
from agentrun._core.session import Request
from agentrun._core.values import is_object
from agentrun.config import Config
from agentrun.credential import Credential
from agentrun.errors import ConfigError, InvalidResponseError, from_response
from agentrun.knowledgebase.filters import equal_values
from agentrun.knowledgebase.model import RagFlowProviderSettings, RagFlowRetrieveSettings
from agentrun.knowledgebase.providers.base import ProviderDataAPI

PATH = "/api/v1/retrieval"
PAGE_SIZE = 30
# RagFlow answers errors with status 200; these of its codes have a status of their own.
_STATUS_OF_CODE = {108: 403, 109: 401}


class RagFlowDataAPI(ProviderDataAPI[RagFlowProviderSettings, RagFlowRetrieveSettings]):
    """Data sets on a RagFlow server; `data` is the server's own, its texts are in `chunks`."""

    kinds = (RagFlowProviderSettings, RagFlowRetrieveSettings)

    async def _search(self, query: str, settings: Config, filters: Any) -> Any:
        where = self._place()
        body = {
            "question": query,
            "dataset_ids": where.dataset_ids,
            "page": 1,
            "page_size": PAGE_SIZE,
            # RagFlow's own names are not in camelCase.
            **self._manner().model_dump(by_alias=False, exclude_none=True),
        }
        if condition := _condition(filters):
            body["metadata_condition"] = condition
        return await self._asked(self.endpoint or where.base_url.rstrip("/"), body, settings)

    async def _asked(self, base_url: str, body: dict[str, Any], settings: Config) -> Any:
        request = Request(
            "POST",
            f"{base_url}{PATH}",
            {"content-type": "application/json", "authorization": f"Bearer {await self._key(settings)}"},
            json.dumps(body, ensure_ascii=False).encode(),
            timeouts(settings),
            settings.get_max_retries(),
        )
        reply = await settings.session.send(request)
        if reply.status >= 400:
            raise error_of(reply.status, reply.headers, reply.content)
        return _data(parsed(reply.content), reply.headers)

    async def _key(self, settings: Config) -> str:
        if not self.credential_name:
            raise ConfigError(
                f"knowledge base {self.knowledge_base_name!r} has no credential",
                hint="Update it with credential_name=..., the credential that holds RagFlow's API key",
            )
        found = await Credential.get_by_name_async(self.credential_name, settings)
        if not found.credential_secret:
            raise ConfigError(
                f"credential {self.credential_name!r} has no key",
                hint="Name a credential that was created with RagFlow's API key",
            )
        return found.credential_secret


def _data(answer: Any, headers: Mapping[str, str]) -> Any:
    code = answer.get("code") if is_object(answer) else None
    if not is_object(answer) or code is None:
        raise InvalidResponseError("RagFlow's answer has no code", hint="Check provider_settings.base_url")
    if code == 0:
        return answer.get("data") or {"chunks": []}
    status = _STATUS_OF_CODE.get(code if isinstance(code, int) else 0, 400)
    message = str(answer.get("message") or "RagFlow gave no reason")
    raise from_response(status, message, error_code=str(code), body=answer, headers=dict(headers))


def _condition(filters: Any) -> Mapping[str, Any] | None:
    if is_object(filters) and "conditions" in filters:
        return filters
    values = equal_values(filters) or {}
    conditions = [{"name": name, "comparison_operator": "is", "value": value} for name, value in values.items()]
    return {"logic": "and", "conditions": conditions} if conditions else None
