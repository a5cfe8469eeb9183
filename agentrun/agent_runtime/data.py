"""What a running agent answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote, urlsplit

from agentrun._core.blocking import run
from agentrun._core.model import Model
from agentrun._core.openai import CHAT, OpenAIAPI
from agentrun._core.streams import Stream
from agentrun.config import Config
from agentrun.errors import UnsupportedError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

    from agentrun._core.openai import Completion

DEFAULT_ENDPOINT = "Default"
_INVOCATIONS = "/invocations"


class InvokeArgs(TypedDict, total=False):
    """What `invoke_openai` takes beside the other parameters of the protocol."""

    messages: Iterable[ChatCompletionMessageParam]
    stream: bool
    config: Config | None


class _Log(Model):
    lines: list[str]


class AgentRuntimeDataAPI(OpenAIAPI):
    """One endpoint of an agent runtime, by the runtime's name."""

    def __init__(
        self,
        agent_runtime_name: str,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        config: Config | None = None,
    ) -> None:
        super().__init__("agent-runtimes", agent_runtime_name, "endpoints", agent_runtime_endpoint_name, config=config)
        self.agent_runtime_name = agent_runtime_name

    async def invoke_openai_async(self, **kwargs: Any) -> Completion:
        """Talk to the agent in the OpenAI chat protocol: a completion, or a stream of chunks with `stream=True`."""
        arguments = {"model": self.agent_runtime_name, **kwargs}
        completion: Completion = await self._exchange(CHAT, arguments, below=f"{_INVOCATIONS}/openai/v1")
        return completion

    def invoke_openai(self, **kwargs: Any) -> Completion:
        """Talk to the agent in the OpenAI chat protocol: a completion, or a stream of chunks with `stream=True`."""
        return run(self.invoke_openai_async(**kwargs))

    async def invoke_async(
        self,
        path: str,
        method: str = "POST",
        json: Any = None,
        stream: bool = False,
        query: Mapping[str, Any] | None = None,
        config: Config | None = None,
    ) -> Any:
        """Call any route of the agent, such as `/ag-ui/agent`.

        Returns the body, parsed when it is JSON; with `stream` a Stream of the data of its server-sent events.
        """
        route = f"{_INVOCATIONS}/{quote(path.lstrip('/'), safe='/%:@~')}"
        if not stream:
            return await self._call(method, route, query=query, body=json, config=config)
        body = await self._open(method, route, query=query, body=json, config=config)
        return Stream[str].of_events(body, str)

    def invoke(
        self,
        path: str,
        method: str = "POST",
        json: Any = None,
        stream: bool = False,
        query: Mapping[str, Any] | None = None,
        config: Config | None = None,
    ) -> Any:
        """Call any route of the agent, such as `/ag-ui/agent`.

        Returns the body, parsed when it is JSON; with `stream` a Stream of the data of its server-sent events.
        """
        return run(self.invoke_async(path, method, json, stream, query, config))

    async def logs_async(self, tail: int = 100, config: Config | None = None) -> list[str]:
        """The last lines that the agent wrote; only the emulator has them at hand.

        Raises UnsupportedError on the cloud, which keeps logs in the project of `log_configuration`.
        """
        host = urlsplit(self._config(config).get_data_endpoint()).hostname or ""
        if host.endswith(".aliyuncs.com"):
            raise UnsupportedError(
                501,
                "the cloud does not answer an agent's logs here",
                hint="Set log_configuration and read the logs in its project and logstore",
            )
        answer = await self._call("GET", "/logs", query={"tail": tail}, config=config)
        return _Log.from_wire(answer).lines

    def logs(self, tail: int = 100, config: Config | None = None) -> list[str]:
        """The last lines that the agent wrote; only the emulator has them at hand.

        Raises UnsupportedError on the cloud, which keeps logs in the project of `log_configuration`.
        """
        return run(self.logs_async(tail, config))
