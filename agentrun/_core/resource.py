"""What every resource object can do: refresh itself, wait, be deleted, and remember the Config it was made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from agentrun._core.blocking import run
from agentrun._core.model import Model
from agentrun._core.polling import wait_until
from agentrun.config import Config
from agentrun.errors import DeleteResourceError, ResourceFailedError, ResourceNotExistError
from agentrun.status import Status

if TYPE_CHECKING:
    from typing_extensions import Self


class Resource(Model):
    """Something that lives on the platform; verbs change it there and here, and return the object itself."""

    kind: ClassVar[str] = "resource"

    # A state that this version does not know yet is kept as text.
    status: Status | str | None = None
    _config: Config | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, data: Any, config: Config | None) -> Self:
        """The resource out of the service's answer, with the Config that later calls use."""
        return cls.from_wire(data).set_config(config)

    def set_config(self, config: Config | None) -> Self:
        """Use this Config from now on."""
        self._config = config
        return self

    def _settings(self, config: Config | None) -> Config | None:
        if config is None or self._config is None:
            return config or self._config
        return Config.with_configs(self._config, config)

    @property
    def state(self) -> Status | str | None:
        """How far the service is: its `status`, unless the resource has another word for it."""
        return self.status

    @property
    def label(self) -> str:
        """The name or id that messages use."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """What people call the resource; its label, where ids are not for people."""
        return self.label

    # What subclasses do

    async def get_async(self, config: Config | None = None) -> Self:
        """Read the resource again and take over what the service says."""
        raise NotImplementedError

    async def delete_async(self, config: Config | None = None) -> Self:
        """Delete the resource."""
        raise NotImplementedError

    # What all share

    def get(self, config: Config | None = None) -> Self:
        """Read the resource again and take over what the service says."""
        return run(self.get_async(config))

    def delete(self, config: Config | None = None) -> Self:
        """Delete the resource."""
        return run(self.delete_async(config))

    async def refresh_async(self, config: Config | None = None) -> Self:
        """Read the resource again; the same as `get`."""
        return await self.get_async(config)

    def refresh(self, config: Config | None = None) -> Self:
        """Read the resource again; the same as `get`."""
        return run(self.refresh_async(config))

    async def wait_until_ready_async(
        self,
        callback: Callable[[Self], None] | None = None,
        interval_seconds: float = 5,
        timeout_seconds: float = 300,
        config: Config | None = None,
    ) -> Self:
        """Return once the resource is READY.

        `callback` is called with the resource after each look. Raises ResourceFailedError with the service's reason
        when it ends in another state, and WaitTimeoutError after `timeout_seconds`.
        """
        await self.wait_until_ready_or_failed_async(callback, interval_seconds, timeout_seconds, config)
        if self.state != Status.READY:
            reason = getattr(self, "status_reason", None) or "the service gave no reason"
            raise ResourceFailedError(f"{self.kind} {self.title!r} is {self.state}: {reason}")
        return self

    def wait_until_ready(
        self,
        callback: Callable[[Self], None] | None = None,
        interval_seconds: float = 5,
        timeout_seconds: float = 300,
        config: Config | None = None,
    ) -> Self:
        """Return once the resource is READY.

        `callback` is called with the resource after each look. Raises ResourceFailedError with the service's reason
        when it ends in another state, and WaitTimeoutError after `timeout_seconds`.
        """
        return run(self.wait_until_ready_async(callback, interval_seconds, timeout_seconds, config))

    async def wait_until_ready_or_failed_async(
        self,
        callback: Callable[[Self], None] | None = None,
        interval_seconds: float = 5,
        timeout_seconds: float = 300,
        config: Config | None = None,
    ) -> Self:
        """Return once the resource changes no more by itself, ready or failed: look at `status`.

        `callback` is called with the resource after each look. Raises WaitTimeoutError after `timeout_seconds`.
        """

        async def look() -> Self:
            await self.refresh_async(config)
            if callback:
                callback(self)
            return self

        return await wait_until(
            look,
            lambda seen: Status.is_final_status(seen.state),
            what=f"{self.kind} {self.title!r}",
            interval=interval_seconds,
            timeout=timeout_seconds,
        )

    def wait_until_ready_or_failed(
        self,
        callback: Callable[[Self], None] | None = None,
        interval_seconds: float = 5,
        timeout_seconds: float = 300,
        config: Config | None = None,
    ) -> Self:
        """Return once the resource changes no more by itself, ready or failed: look at `status`.

        `callback` is called with the resource after each look. Raises WaitTimeoutError after `timeout_seconds`.
        """
        return run(self.wait_until_ready_or_failed_async(callback, interval_seconds, timeout_seconds, config))

    async def delete_and_wait_until_finished_async(
        self,
        callback: Callable[[Self], None] | None = None,
        interval_seconds: float = 5,
        timeout_seconds: float = 300,
        config: Config | None = None,
    ) -> Self:
        """Delete the resource and return once it is gone.

        `callback` is called with the resource after each look. Raises DeleteResourceError when it stays, and
        WaitTimeoutError after `timeout_seconds`. A resource that is gone already is no error.
        """

        async def gone() -> bool:
            try:
                await self.refresh_async(config)
            except ResourceNotExistError:
                return True
            if callback:
                callback(self)
            if self.state not in (Status.DELETING, None):
                raise DeleteResourceError(f"{self.kind} {self.title!r} is {self.state} after it was deleted")
            return False

        try:
            await self.delete_async(config)
        except ResourceNotExistError:
            return self
        await wait_until(
            gone,
            bool,
            what=f"deleting {self.kind} {self.title!r}",
            interval=interval_seconds,
            timeout=timeout_seconds,
        )
        return self

    def delete_and_wait_until_finished(
        self,
        callback: Callable[[Self], None] | None = None,
        interval_seconds: float = 5,
        timeout_seconds: float = 300,
        config: Config | None = None,
    ) -> Self:
        """Delete the resource and return once it is gone.

        `callback` is called with the resource after each look. Raises DeleteResourceError when it stays, and
        WaitTimeoutError after `timeout_seconds`. A resource that is gone already is no error.
        """
        return run(self.delete_and_wait_until_finished_async(callback, interval_seconds, timeout_seconds, config))
