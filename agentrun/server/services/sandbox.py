"""Sandboxes of sessions: each session finds its own again, until it is released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias

from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import InvalidInputError, ResourceNotExistError, SandboxTerminatedError
from agentrun.sandbox.boxes import BaseSandbox, BaseSandboxAsync, FilesystemSandbox, FilesystemSandboxAsync
from agentrun.sandbox.boxes.settings import refuse_what_is_elsewhere
from agentrun.sandbox.sandbox import Sandbox
from agentrun.sandbox.toolset.once import Once
from agentrun.server.lifecycle import Startable

_BOXES: Mapping[str, type[Any]] = {
    "base": BaseSandbox,
    "filesystem": FilesystemSandbox,
    "base_async": BaseSandboxAsync,
    "filesystem_async": FilesystemSandboxAsync,
}
_ENDED = (ResourceNotExistError, SandboxTerminatedError)
_Key: TypeAlias = tuple[str, "str | None"]


class SandboxService(Startable):
    """Gives each session of a user its sandboxes, one of each type; `stop` ends them, unless `drain_on_stop` is False.

    The types are those of AgentScope Runtime, `base` and `filesystem` here, whose objects have its methods; `templates`
    has others, by the name of the template from which theirs are made. A sandbox that nobody uses for
    `sandbox_idle_timeout_seconds` ends by itself. `base_url` and `bearer_token` belong to another kind of server and
    are refused: `config` says where the platform is. It may be used by several tasks, threads and event loops.
    """

    def __init__(
        self,
        base_url: str | None = None,
        bearer_token: str | None = None,
        *,
        drain_on_stop: bool = True,
        templates: Mapping[str, str] | None = None,
        sandbox_idle_timeout_seconds: int = 600,
        config: Config | None = None,
    ) -> None:
        refuse_what_is_elsewhere("base", base_url, bearer_token, None, None)
        self.drain_on_stop = drain_on_stop
        self._templates = dict(templates or {})
        self._idle_seconds = sandbox_idle_timeout_seconds
        self._config = config
        self._sessions: dict[_Key, dict[str, Once[Any]]] = {}

    async def start(self) -> None:
        """Nothing is made before a session needs it."""

    async def stop(self) -> None:
        """End the sandboxes of all sessions; without `drain_on_stop` they end when nobody has used them for long."""
        sessions, self._sessions = self._sessions, {}
        if self.drain_on_stop:
            for boxes in sessions.values():
                await _end(boxes)

    async def health(self) -> bool:
        """Whether sandboxes can be made, as far as this object knows."""
        return True

    async def connect_async(
        self, session_id: str, user_id: str | None = None, sandbox_types: Sequence[str | Enum] | None = None
    ) -> list[Any]:
        """The sandboxes of a session, one of each type, `base` without types; those that are missing are made.

        One that ended meanwhile is replaced. Raises InvalidInputError for a type that is not known.
        """
        if not session_id:
            raise InvalidInputError("session_id is empty: a sandbox belongs to a session", field="session_id")
        types = [self._type(each) for each in sandbox_types or ("base",)]
        boxes = self._sessions.setdefault((session_id, user_id), {})
        # All of them are known before the first is waited for, so that who releases the session meanwhile ends them.
        wanted = [boxes.setdefault(kind, self._once(kind)) for kind in types]
        return [await _living(once) for once in wanted]

    def connect(
        self, session_id: str, user_id: str | None = None, sandbox_types: Sequence[str | Enum] | None = None
    ) -> list[Any]:
        """The sandboxes of a session, one of each type, `base` without types; those that are missing are made.

        One that ended meanwhile is replaced. Raises InvalidInputError for a type that is not known.
        """
        return run(self.connect_async(session_id, user_id, sandbox_types))

    async def release_async(self, session_id: str, user_id: str | None = None) -> bool:
        """End the sandboxes of a session, and say whether it had some."""
        boxes = self._sessions.pop((session_id, user_id), {})
        await _end(boxes)
        return bool(boxes)

    def release(self, session_id: str, user_id: str | None = None) -> bool:
        """End the sandboxes of a session, and say whether it had some."""
        return run(self.release_async(session_id, user_id))

    def _type(self, given: str | Enum) -> str:
        name = str(given.value if isinstance(given, Enum) else given)
        if name not in self._templates and name not in _BOXES:
            known = ", ".join({**_BOXES, **self._templates})
            raise InvalidInputError(
                f"There is no type of sandbox {name!r}",
                field="sandbox_types",
                hint=f"There are {known}; templates={{{name!r}: ...}} says from which template one is made",
            )
        return name

    def _once(self, kind: str) -> Once[Any]:
        async def make() -> Any:
            return await self._made(kind)

        return Once(make, f"the sandbox of type {kind!r}")

    async def _made(self, kind: str) -> Any:
        if (template := self._templates.get(kind)) is not None:
            return await Sandbox.create_async(
                template_name=template, sandbox_idle_timeout_seconds=self._idle_seconds, config=self._config
            )
        box = _BOXES[kind](sandbox_idle_timeout_seconds=self._idle_seconds, config=self._config)
        return await box.start_async()


async def _living(once: Once[Any]) -> Any:
    """The sandbox, another one when it has ended."""
    box = await once.get()
    if not await _is_alive(box):
        once.discard(box)
    return await once.get()


async def _is_alive(box: Any) -> bool:
    sandbox = box if isinstance(box, Sandbox) else box.sandbox
    try:
        found = await sandbox.get_async()
    except _ENDED:
        return False
    return str(getattr(found.status, "value", found.status)).upper() != "TERMINATED"


async def _end(boxes: Mapping[str, Once[Any]]) -> None:
    """End what was made; what has ended already is no failure."""
    for once in boxes.values():
        box = await once.close()
        if box is not None:
            try:
                await box.close_async()
            except _ENDED:
                continue
