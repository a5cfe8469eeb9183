"""A model of the platform as a framework needs it: where it is, with which key, and clients that sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrun._core.api import timeouts
from agentrun._core.blocking import run
from agentrun._core.signed_client import signed_client
from agentrun.config import Config
from agentrun.errors import ConfigError
from agentrun.integration._conversions import ModelConversions
from agentrun.model import BackendType, ModelClient, ModelProxy, ModelService

if TYPE_CHECKING:
    from agentrun.model import BaseInfo


class CommonModel(ModelConversions):
    """A model service or proxy, for any framework; `specific_model` is asked instead of the one that it names."""

    def __init__(
        self,
        model_obj: ModelService | ModelProxy,
        backend_type: BackendType | None = None,
        specific_model: str | None = None,
        config: Config | None = None,
    ) -> None:
        self.model_obj = model_obj
        self.backend_type = backend_type
        self.specific_model = specific_model
        self.config = config

    @classmethod
    async def find_async(
        cls,
        name: str | ModelProxy | ModelService,
        *,
        model: str | None = None,
        backend_type: BackendType | None = None,
        config: Config | None = None,
    ) -> CommonModel:
        """A model by its name, or the object itself; raises ResourceNotExistError."""
        found = await ModelClient(config).get_async(name, backend_type) if isinstance(name, str) else name
        return cls(found, backend_type, model, config)

    @classmethod
    def find(
        cls,
        name: str | ModelProxy | ModelService,
        *,
        model: str | None = None,
        backend_type: BackendType | None = None,
        config: Config | None = None,
    ) -> CommonModel:
        """A model by its name, or the object itself; raises ResourceNotExistError."""
        return run(cls.find_async(name, model=model, backend_type=backend_type, config=config))

    @property
    def name(self) -> str:
        """What the model is called by; raises ConfigError when nothing names one."""
        name = self.get_model_info().model
        if not name:
            raise ConfigError(
                f"{self.model_obj.label} names no model", hint='Say which one to ask: model("...", model="...")'
            )
        return name

    def get_model_info(self, config: Config | None = None) -> BaseInfo:
        """Where the model is called, with which key and by which name; raises ConfigError when there is none."""
        info = self.model_obj.model_info(config or self.config)
        return info.model_copy(update={"model": self.specific_model}) if self.specific_model else info

    def openai_kwargs(self, *, asynchronous: bool = False) -> dict[str, Any]:
        """The arguments of an `OpenAI` client, or of an `AsyncOpenAI` one, that reaches the model."""
        return self.model_obj.openai_kwargs(self.config, asynchronous=asynchronous)

    def shared_kwargs(self, *, asynchronous: bool = False) -> dict[str, Any]:
        """The same, with an `http_client` in any case: its connections are the SDK's, and nobody need close it."""
        settings = Config.with_configs(self.config)
        given = self.openai_kwargs(asynchronous=asynchronous)
        if "http_client" not in given:
            given["http_client"] = signed_client(settings.session, None, timeouts(settings), asynchronous)
        return given

    def completions(self, *args: Any, **kwargs: Any) -> Any:
        """Continue a conversation, as the model service and proxy do."""
        return self.model_obj.completions(*args, **self._asked(kwargs))

    def responses(self, *args: Any, **kwargs: Any) -> Any:
        """Ask by the responses protocol, as the model service and proxy do."""
        return self.model_obj.responses(*args, **self._asked(kwargs))

    def __call__(self, messages: list[Any], **kwargs: Any) -> Any:
        """Continue a conversation."""
        return self.completions(messages, **kwargs)

    def _asked(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.specific_model, "config": self.config, **kwargs}
