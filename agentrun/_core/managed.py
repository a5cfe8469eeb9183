"""Resources that are created, read, changed, listed and deleted by their names: the verbs, written once.

What differs stands in their `operations`. The class methods that take a name are written by each of them, because that
name is called `model_service_name` there and `tool_name` here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from agentrun._core.blocking import run
from agentrun._core.model import Model, PageableInput, UpdateInput, build
from agentrun._core.paging import numbered
from agentrun._core.resource import Resource
from agentrun.config import Config

if TYPE_CHECKING:
    from typing_extensions import Self

C = TypeVar("C", bound=Model)
U = TypeVar("U", bound=UpdateInput)
L = TypeVar("L", bound=PageableInput)

Answer = Awaitable[dict[str, Any]]


class Operations(NamedTuple):
    """The control API of a kind, the inputs, and the methods that take them."""

    api: Callable[[Config | None], Any]
    create_input: type[Any]
    update_input: type[Any]
    create: Callable[..., Answer]
    get: Callable[..., Answer]
    update: Callable[..., Answer]
    delete: Callable[..., Answer]
    list: Callable[..., Answer]


class Managed(Resource, Generic[C, U, L]):
    """A resource by the types of its inputs: to create it, to change it, to list it."""

    operations: ClassVar[Operations]

    @classmethod
    async def create_async(cls, input: C | None = None, config: Config | None = None, **fields: Any) -> Self:
        """Create one from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        wanted = build(cls.operations.create_input, input, fields)
        return cls.of(await cls.operations.create(cls.operations.api(config), wanted), config)

    @classmethod
    def create(cls, input: C | None = None, config: Config | None = None, **fields: Any) -> Self:
        """Create one from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        return run(cls.create_async(input, config, **fields))

    @classmethod
    async def page_async(cls, asked: L, config: Config | None = None) -> Sequence[Self]:
        """One page of them."""
        answer = await cls.operations.list(cls.operations.api(config), asked)
        return [cls.of(item, config) for item in cls._items(answer)]

    @classmethod
    def page(cls, asked: L, config: Config | None = None) -> Sequence[Self]:
        """One page of them."""
        return run(cls.page_async(asked, config))

    async def update_async(self, input: U | None = None, config: Config | None = None, **fields: Any) -> Self:
        """Change this one; what is not given stays."""
        return self.update_self(await self._change(self.label, input, self._settings(config), fields))

    def update(self, input: U | None = None, config: Config | None = None, **fields: Any) -> Self:
        """Change this one; what is not given stays."""
        return run(self.update_async(input, config, **fields))

    async def get_async(self, config: Config | None = None) -> Self:
        """Read the resource again and take over what the service says."""
        return self.update_self(await self._read(self.label, self._settings(config)))

    async def delete_async(self, config: Config | None = None) -> Self:
        """Delete the resource."""
        return self.update_self(await self._remove(self.label, self._settings(config)))

    @classmethod
    def _items(cls, answer: dict[str, Any]) -> Sequence[Any]:
        """The resources of a page."""
        return answer.get("items") or ()

    # By name, for the subclasses

    @classmethod
    async def _read(cls, name: str, config: Config | None) -> Self:
        return cls.of(await cls.operations.get(cls.operations.api(config), name), config)

    @classmethod
    async def _change(cls, name: str, input: U | None, config: Config | None, fields: dict[str, Any]) -> Self:
        wanted = build(cls.operations.update_input, input, fields)
        return cls.of(await cls.operations.update(cls.operations.api(config), name, wanted), config)

    @classmethod
    async def _remove(cls, name: str, config: Config | None) -> Self:
        return cls.of(await cls.operations.delete(cls.operations.api(config), name), config)

    @classmethod
    def _pages(cls, filters: L, config: Config | None) -> AsyncIterator[Self]:
        async def page(number: int, size: int) -> Sequence[Self]:
            return await cls.page_async(filters.model_copy(update={"page_number": number, "page_size": size}), config)

        return numbered(page, lambda found: found.label)
