"""An agent that is served somewhere: in which protocols, and what it answers."""

from __future__ import annotations

import json
import ssl
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from agentrun._core.streams import SSEDecoder
from agentrun._core.values import is_object
from agentrun.cli.chatting.speech import SPEAKERS, Said
from agentrun.cli.output import CommandError
from agentrun.server.events import AgentEvent
from agentrun.server.tracing.place import PATH as TRACES_PATH

Events: TypeAlias = Generator[AgentEvent, None, None]

_PIECE_BYTES = 65536
_CONNECT_SECONDS = 10.0
_MOST_OF_A_REASON = 400
# How a server of agentrun calls its protocols.
_NAMES = {
    "agent_api": "agent_api",
    "ag-ui": "ag_ui",
    "openai_chat_completions": "chat",
    "openai_responses": "responses",
}
# Where servers of others have theirs, and what is asked for to find out: any status but 404 says that it is there.
_USUAL = {
    "agent_api": (("/process", ""),),
    "ag_ui": (("/ag-ui/agent", ""), ("/ag-ui", "")),
    "chat": (("/openai/v1", "/models"), ("/v1", "/models")),
}
# Ends of URLs that name a protocol themselves.
_SUFFIXES = {"/process": "agent_api", "/ag-ui": "ag_ui", "/ag-ui/agent": "ag_ui", "/v1": "chat"}
_COMPLETIONS = "/chat/completions"
# What a server of agentrun may have behind its root in those; of several that fit the first is the longest.
_PREFIXES = ("/compatible-mode/v1", "/openai/v1", "/ag-ui/agent", *_SUFFIXES)


class AgentFailed(Exception):
    """There is no whole answer; the text says why."""


class ServedAgent:
    """An agent behind a URL. Raises CommandError for a URL that is none."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandError(f"{url} is no address of an agent: it looks like http://127.0.0.1:8080")
        self.scheme, self.hostname = parts.scheme, parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.path = parts.path.rstrip("/").removesuffix(_COMPLETIONS)
        self.root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    @property
    def traces_path(self) -> str:
        """Where its server shows traces, if it does."""
        prefix = next((each for each in _PREFIXES if self.path.endswith(each)), "")
        return self.path.removesuffix(prefix) + TRACES_PATH

    def describe(self) -> dict[str, Any]:
        """What the server says of itself, as far as it does. Raises CommandError when it does not answer."""
        status, body = self._get(self.path or "/")
        document: Any = None
        if status == 200:
            with suppress(ValueError):
                document = json.loads(body)
        return document if is_object(document) else {}

    def protocols(self) -> dict[str, str]:
        """The paths of the protocols that it speaks and we do, the preferred one first. Raises CommandError."""
        for suffix, name in _SUFFIXES.items():
            if self.path.endswith(suffix):
                return {name: self.path}
        found = self._announced() or self._tried()
        if not found:
            raise CommandError(f"{self.root}{self.path} speaks none of {', '.join(SPEAKERS)}: is it the right address?")
        return found

    def _announced(self) -> dict[str, str]:
        announced: Any = self.describe().get("protocols")
        if not is_object(announced):
            return {}
        found = {_NAMES[name]: self.path + paths[0] for name, paths in announced.items() if name in _NAMES and paths}
        return {name: found[name] for name in SPEAKERS if name in found}

    def _tried(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, places in _USUAL.items():
            for path, probe in places:
                if name not in found and self._get(self.path + path + probe)[0] != 404:
                    found[name] = self.path + path
        return found

    def ask(self, protocol: str, path: str, conversation: Sequence[Said], session_id: str) -> Events:
        """What the agent does, as it comes; who stops to read ends it. Raises AgentFailed."""
        speaker = SPEAKERS[protocol]()
        asking = speaker.ask(conversation, session_id)
        headers = {"accept": "text/event-stream", "content-type": "application/json", **asking.headers}
        with closing(self._connection()) as connection:
            answer = self._answer(connection, "POST", path + asking.path, headers, json.dumps(asking.body).encode())
            if not (answer.getheader("content-type") or "").startswith("text/event-stream"):
                raise AgentFailed(_refusal(answer))
            for data in self._data(answer):
                yield from speaker.read(data)
        if not speaker.is_over:
            raise AgentFailed("the connection broke before the answer was complete")

    def _data(self, answer: HTTPResponse) -> Iterator[str]:
        decoder = SSEDecoder()
        try:
            while piece := answer.read1(_PIECE_BYTES):
                for event in decoder.feed(piece):
                    yield event.data
        except (OSError, HTTPException) as error:
            raise AgentFailed(f"the connection broke: {error}") from error

    def _get(self, path: str) -> tuple[int, bytes]:
        with closing(self._connection()) as connection:
            try:
                answer = self._answer(connection, "GET", path, {"accept": "application/json"})
                return answer.status, answer.read()
            except (AgentFailed, OSError, HTTPException) as error:
                raise CommandError(f"{self.root} does not answer: {error}") from error

    def _answer(
        self, connection: HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> HTTPResponse:
        try:
            connection.connect()
            # An agent may think for long.
            connection.sock.settimeout(None if body else _CONNECT_SECONDS)
            connection.request(method, path, body, {**headers, **self._headers})
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            raise AgentFailed(f"it cannot be reached ({error})") from error

    def _connection(self) -> HTTPConnection:
        if self.scheme == "http":
            return HTTPConnection(self.hostname, self.port, timeout=_CONNECT_SECONDS)
        context = ssl.create_default_context()
        return HTTPSConnection(self.hostname, self.port, timeout=_CONNECT_SECONDS, context=context)


def _refusal(answer: HTTPResponse) -> str:
    """What the server says, in words if it has any."""
    text = answer.read().decode(errors="replace")
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if is_object(document):
        error = document.get("error") or document.get("detail") or document
        text = str(error.get("message") or json.dumps(error)) if is_object(error) else str(error)
    return f"the server answers {answer.status}: {text[:_MOST_OF_A_REASON]}"
