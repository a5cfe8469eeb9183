"""Models whose place is looked up when they are asked: where they are called, and with which key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.credential import Credential
from agentrun.errors import AuthenticationError, ConfigError
from agentrun.model.completion import ModelCompletionAPI
from agentrun.model.model import BaseInfo
from agentrun.model.provider_keys import NO_KEY

if TYPE_CHECKING:
    from agentrun._core.openai import Question


class Place(NamedTuple):
    """Where a model is called: without a key, requests are signed for the platform."""

    base_url: str
    api_key: str | None
    model: str | None
    provider: str | None = None
    headers: dict[str, str] = {}  # noqa: RUF012  # Nobody changes it; a tuple has no factories.

    def api(self, config: Config | None) -> ModelCompletionAPI:
        """What sends questions there."""
        return ModelCompletionAPI(
            api_key=self.api_key,
            base_url=self.base_url,
            model=self.model,
            headers=self.headers,
            provider=self.provider or "openai",
            config=config,
        )


class KeptCredential:
    """The credential last used, so that not every question asks the platform for it; copies begin without."""

    def __init__(self) -> None:
        self._kept: tuple[Credential, Config | None] | None = None

    async def read(self, name: str, config: Config | None) -> Credential:
        """A credential that has a secret; raises ConfigError, and ResourceNotExistError when it is not there."""
        # What one account may read is not for a call that another Config makes.
        if self._kept and self._kept[0].credential_name == name and self._kept[1] == config:
            return self._kept[0]
        found = await Credential.get_by_name_async(name, config)
        if not found.credential_secret:
            raise ConfigError(
                f"credential {name!r} has no key", hint="Name a credential that was created with an API key"
            )
        self._kept = (found, config)
        return found

    def forget(self) -> None:
        """Ask again the next time: the secret may be another one by now."""
        self._kept = None

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptCredential, ()


class Located:
    """A model whose place a subclass looks up; a credential is kept until it is refused."""

    _kept: KeptCredential

    def _settings(self, config: Config | None) -> Config | None:
        raise NotImplementedError

    async def _place(self, config: Config | None) -> Place:
        """Where questions go."""
        raise NotImplementedError

    async def _own_place(self, config: Config | None) -> Place:
        """Where the caller goes without us, with a key that the platform may else keep to itself."""
        return await self._place(config)

    async def ask(self, question: Question, arguments: dict[str, Any]) -> Any:
        """The answer to a question of the protocol; the model is this one's unless `arguments` name another."""
        config = self._settings(arguments.pop("config", None))
        place = await self._place(config)
        try:
            return await place.api(config).ask(question, arguments)
        except AuthenticationError:
            self._kept.forget()
            raise

    async def model_info_async(self, config: Config | None = None) -> BaseInfo:
        """Where the model is called and with which key; `api_key` is None where requests are signed instead.

        Raises ConfigError when there is no URL or no key.
        """
        place = await self._own_place(self._settings(config))
        return BaseInfo(**place._asdict())

    def model_info(self, config: Config | None = None) -> BaseInfo:
        """Where the model is called and with which key; `api_key` is None where requests are signed instead.

        Raises ConfigError when there is no URL or no key.
        """
        return run(self.model_info_async(config))

    async def openai_kwargs_async(
        self, config: Config | None = None, *, asynchronous: bool | None = None
    ) -> dict[str, Any]:
        """What an OpenAI client of one's own needs: `OpenAI(**x.openai_kwargs())`.

        Where requests are signed, an `http_client` does it, for the mode of this call. `asynchronous` says another:
        `AsyncOpenAI(**x.openai_kwargs(asynchronous=True))`.
        """
        config = self._settings(config)
        place = await self._own_place(config)
        if place.api_key is None:
            client = place.api(config).http_client(asynchronous)
            return {"api_key": NO_KEY, "base_url": place.base_url, "http_client": client}
        headers = {"default_headers": place.headers} if place.headers else {}
        return {"api_key": place.api_key, "base_url": place.base_url, **headers}

    def openai_kwargs(self, config: Config | None = None, *, asynchronous: bool | None = None) -> dict[str, Any]:
        """What an OpenAI client of one's own needs: `OpenAI(**x.openai_kwargs())`.

        Where requests are signed, an `http_client` does it, for the mode of this call. `asynchronous` says another:
        `AsyncOpenAI(**x.openai_kwargs(asynchronous=True))`.
        """
        return run(self.openai_kwargs_async(config, asynchronous=asynchronous))
