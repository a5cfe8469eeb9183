"""How one comes to a sandbox: create it, connect to it, or take the one of a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from agentrun._core.blocking import run
from agentrun._core.model import build
from agentrun._core.network import OSSMountConfig
from agentrun._core.resource import Resource
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.sandbox.data import SandboxDataAPI
from agentrun.sandbox.extensions import ACQUIRE, CREATION
from agentrun.sandbox.model import NASConfig, PolarFsConfig, SandboxInput, TemplateType
from agentrun.sandbox.options import SandboxExtras, SandboxOptions
from agentrun.sandbox.template import Template

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox


class SandboxCreation(Resource):
    """The ways to a sandbox; what they return is of the class that fits the template's type."""

    # Which templates make this class; the classes register themselves.
    type_of_template: ClassVar[TemplateType | None] = None
    _classes: ClassVar[dict[str, type[SandboxCreation]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if cls.type_of_template is not None:
            SandboxCreation._classes[cls.type_of_template.value] = cls
        else:
            SandboxCreation._classes.setdefault("", cls)  # `Sandbox`, for every other type

    @classmethod
    def _class_for(cls, template_type: TemplateType | str | None) -> type[Any]:
        name = template_type.value if isinstance(template_type, TemplateType) else template_type
        return SandboxCreation._classes.get(name or "", SandboxCreation._classes[""])

    @overload
    @classmethod
    async def create_async(
        cls,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    async def create_async(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any: ...

    @classmethod
    async def create_async(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """Create a sandbox from a template; the class returned fits the template's type.

        Without `template_type` the template is read first. A sandbox that nobody uses for
        `sandbox_idle_timeout_seconds` ends by itself. Raises ResourceNotExistError when there is no such template.
        The `options` (`SandboxOptions`) are an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        if not template_name:
            raise InvalidInputError("a sandbox is made from a template", field="template_name")
        wanted = SandboxInput(
            template_name=template_name,
            sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds,
            sandbox_id=sandbox_id,
            nas_config=nas_config,
            oss_mount_config=oss_mount_config,
            polar_fs_config=polar_fs_config,
        )
        extras = _extras(options, config)
        known = template_type or cls.type_of_template
        kind = known or (await Template.get_by_name_async(template_name, config)).template_type
        return cls._class_for(kind).of(await _create(wanted, extras, config), config)

    @overload
    @classmethod
    def create(
        cls,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    def create(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any: ...

    @classmethod
    def create(
        cls,
        template_type: TemplateType | str | None = None,
        template_name: str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        sandbox_id: str | None = None,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """Create a sandbox from a template; the class returned fits the template's type.

        Without `template_type` the template is read first. A sandbox that nobody uses for
        `sandbox_idle_timeout_seconds` ends by itself. Raises ResourceNotExistError when there is no such template.
        The `options` (`SandboxOptions`) are an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        return run(
            cls.create_async(
                template_type,
                template_name,
                sandbox_idle_timeout_seconds,
                sandbox_id,
                nas_config,
                oss_mount_config,
                polar_fs_config,
                config,
                **options,
            )
        )

    @overload
    @classmethod
    async def connect_async(
        cls,
        sandbox_id: str,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        config: Config | None = None,
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    async def connect_async(
        cls,
        sandbox_id: str,
        template_type: TemplateType | str | None = None,
        config: Config | None = None,
    ) -> Any: ...

    @classmethod
    async def connect_async(
        cls, sandbox_id: str, template_type: TemplateType | str | None = None, config: Config | None = None
    ) -> Any:
        """A sandbox that exists already; the class returned fits its template's type, which is read if not given.

        Raises ResourceNotExistError, and InvalidInputError when the service knows another type.
        """
        data = await SandboxDataAPI(config=config).get_sandbox_async(sandbox_id)
        known = template_type or cls.type_of_template
        stored = data.get("templateType")
        if known and stored and TemplateType(known) != stored:
            raise InvalidInputError(
                f"sandbox {sandbox_id!r} is of type {stored}, not {TemplateType(known).value}", field="template_type"
            )
        kind = known or stored or await _type_of(data.get("templateName"), config)
        return cls._class_for(kind).of(data, config)

    @overload
    @classmethod
    def connect(
        cls,
        sandbox_id: str,
        template_type: Literal[TemplateType.CODE_INTERPRETER, "CodeInterpreter"],
        config: Config | None = None,
    ) -> CodeInterpreterSandbox: ...

    @overload
    @classmethod
    def connect(
        cls,
        sandbox_id: str,
        template_type: TemplateType | str | None = None,
        config: Config | None = None,
    ) -> Any: ...

    @classmethod
    def connect(
        cls, sandbox_id: str, template_type: TemplateType | str | None = None, config: Config | None = None
    ) -> Any:
        """A sandbox that exists already; the class returned fits its template's type, which is read if not given.

        Raises ResourceNotExistError, and InvalidInputError when the service knows another type.
        """
        return run(cls.connect_async(sandbox_id, template_type, config))

    @classmethod
    async def acquire_async(
        cls,
        key: str,
        template_name: str,
        template_type: TemplateType | str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """The sandbox of a key, such as a user's session: the live one, woken when it is paused, else a new one.

        `acquired` of the result tells: `created`, `reused` or `resumed`. The template and the options count when it is
        created. Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        ACQUIRE.require(Config.with_configs(config).get_data_endpoint())
        wanted = SandboxInput(template_name=template_name, sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds)
        extras = {**_extras(options, config), "sessionKey": key}
        known = template_type or cls.type_of_template
        kind = known or (await Template.get_by_name_async(template_name, config)).template_type
        return cls._class_for(kind).of(await _create(wanted, extras, config), config)

    @classmethod
    def acquire(
        cls,
        key: str,
        template_name: str,
        template_type: TemplateType | str | None = None,
        sandbox_idle_timeout_seconds: int | None = 600,
        config: Config | None = None,
        **options: Unpack[SandboxOptions],
    ) -> Any:
        """The sandbox of a key, such as a user's session: the live one, woken when it is paused, else a new one.

        `acquired` of the result tells: `created`, `reused` or `resumed`. The template and the options count when it is
        created. Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(
            cls.acquire_async(key, template_name, template_type, sandbox_idle_timeout_seconds, config, **options)
        )


def _extras(options: SandboxOptions, config: Config | None) -> dict[str, Any]:
    """The options as they travel; raises UnsupportedError where they would not be understood."""
    if not options:
        return {}
    extras = build(SandboxExtras, None, options).to_wire()
    CREATION.require(Config.with_configs(config).get_data_endpoint())
    return extras


async def _create(wanted: SandboxInput, extras: Mapping[str, Any], config: Config | None) -> dict[str, Any]:
    fields = wanted.to_wire()
    return await SandboxDataAPI(config=config).create_sandbox_async(
        wanted.template_name,
        wanted.sandbox_idle_timeout_seconds,
        wanted.sandbox_id,
        fields.get("nasConfig"),
        fields.get("ossMountConfig"),
        fields.get("polarFsConfig"),
        extras=extras,
    )


async def _type_of(template_name: str | None, config: Config | None) -> TemplateType | str | None:
    if not template_name:
        return None
    return (await Template.get_by_name_async(template_name, config)).template_type
