"""Model proxies on the data plane, by their name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentrun._core.api import DataAPI, segment
from agentrun._core.blocking import run
from agentrun._core.openai import CHAT, RESPONSES
from agentrun.config import Config
from agentrun.credential import Credential
from agentrun.errors import HTTPError
from agentrun.model.control import ModelControlAPI
from agentrun.model.extensions import STATS
from agentrun.model.place import KeptCredential, Located, Place
from agentrun.model.stats import ModelProxyStats

if TYPE_CHECKING:
    from agentrun._core.openai import Completion, Responded

DEFAULT_HEADER = "X-API-Key"
TOKEN_HEADER = "Agentrun-Access-Token"
_PATH = "models"


def proxy_place(
    model_proxy_name: str,
    model: str,
    credential: Credential | None,
    *,
    endpoint: str | None = None,
    provider: str | None = "openai",
    config: Config | None = None,
) -> Place:
    """Where a proxy is called: with the key of its credential, or signed when it has none."""
    settings = Config.with_configs(config)
    path = f"{_PATH}/{segment(model_proxy_name)}"
    if credential is None:
        return Place(f"{settings.get_signed_data_endpoint()}/{path}/v1", None, model, provider)
    base = endpoint or f"{settings.get_data_endpoint()}/{path}"
    return Place(f"{base}/v1", credential.credential_secret, model, provider, _key_headers(credential))


def _key_headers(credential: Credential) -> dict[str, str]:
    public: Mapping[str, Any] = credential.credential_public_config or {}
    secret = credential.credential_secret or ""
    return {
        public.get("headerKey") or DEFAULT_HEADER: f"{public.get('prefix') or ''}{secret}",
        TOKEN_HEADER: secret,
    }


class ModelDataAPI(Located, DataAPI):
    """One model proxy by its name; `model_name` is the model asked, the proxy's name unless given.

    With a `credential_name` calls carry the key of that credential, without one they are signed.
    """

    def __init__(
        self,
        model_proxy_name: str,
        model_name: str | None = None,
        credential_name: str | None = None,
        provider: str | None = "openai",
        config: Config | None = None,
    ) -> None:
        super().__init__(config=config)
        self.update_model_name(model_proxy_name, model_name, credential_name, provider, config)

    def update_model_name(
        self,
        model_proxy_name: str,
        model_name: str | None,
        credential_name: str | None = None,
        provider: str | None = "openai",
        config: Config | None = None,
    ) -> None:
        """Speak to another proxy or model from now on."""
        self.namespace = f"/{_PATH}/{segment(model_proxy_name)}"
        self.model_proxy_name = model_proxy_name
        self.model_name = model_name
        self.credential_name = credential_name
        self.provider = provider
        self.config = config or self.config
        self._kept = KeptCredential()
        self._endpoint: str | None = None

    def _settings(self, config: Config | None) -> Config | None:
        return self._config(config)

    async def _place(self, config: Config | None) -> Place:
        name, model = self.model_proxy_name, self.model_name or self.model_proxy_name
        if not self.credential_name:
            return proxy_place(name, model, None, provider=self.provider, config=config)
        if self._endpoint is None:
            # Who shows a key names no account, so the proxy's own address has to be known.
            self._endpoint = (await ModelControlAPI(config).get_model_proxy_async(name)).get("endpoint") or ""
        credential = await self._kept.read(self.credential_name, config)
        return proxy_place(name, model, credential, endpoint=self._endpoint, provider=self.provider, config=config)

    async def completions_async(
        self, messages: Iterable[Any] = (), model: str | None = None, config: Config | None = None, **kwargs: Any
    ) -> Completion:
        """Continue a conversation: a completion, or a stream of chunks with `stream=True`."""
        found: Completion = await self.ask(
            CHAT, {"messages": list(messages), "model": model, "config": config, **kwargs}
        )
        return found

    def completions(
        self, messages: Iterable[Any] = (), model: str | None = None, config: Config | None = None, **kwargs: Any
    ) -> Completion:
        """Continue a conversation: a completion, or a stream of chunks with `stream=True`."""
        return run(self.completions_async(messages, model, config, **kwargs))

    async def responses_async(
        self, input: str | Sequence[Any], model: str | None = None, config: Config | None = None, **kwargs: Any
    ) -> Responded:
        """Ask by the responses protocol: a response, or a stream of its events with `stream=True`."""
        found: Responded = await self.ask(RESPONSES, {"input": input, "model": model, "config": config, **kwargs})
        return found

    def responses(
        self, input: str | Sequence[Any], model: str | None = None, config: Config | None = None, **kwargs: Any
    ) -> Responded:
        """Ask by the responses protocol: a response, or a stream of its events with `stream=True`."""
        return run(self.responses_async(input, model, config, **kwargs))

    async def stats_async(self, config: Config | None = None) -> ModelProxyStats:
        """What the proxy has done so far; an extension of the local platform, else UnsupportedError."""
        try:
            return ModelProxyStats.from_wire(await self._call("GET", "/stats", config=config))
        except HTTPError as error:
            if STATS.is_unknown_to(error):
                raise STATS.unsupported(error) from error
            raise error.to_resource_error("ModelProxy", self.model_proxy_name) from error

    def stats(self, config: Config | None = None) -> ModelProxyStats:
        """What the proxy has done so far; an extension of the local platform, else UnsupportedError."""
        return run(self.stats_async(config))
