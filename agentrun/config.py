"""Where the platform is, who calls it and how long a call may take.

A value is looked for in this order: given to `Config`, lent to the current request (access keys only), the
environment, the default. A `Config` never changes; `with_configs` and `update` make a new one, and a value nobody gave
never hides one that somebody gave.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agentrun._core import local
from agentrun._core.credentials import Credentials, Secret, StsCredential, first_variable, resolve
from agentrun.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

    from agentrun._core.session import Session
    from agentrun._core.transports import Transport

REGION_VARIABLES = ("AGENTRUN_REGION", "FC_REGION")
ACCOUNT_VARIABLES = ("AGENTRUN_ACCOUNT_ID", "FC_ACCOUNT_ID")
DEFAULT_REGION = "cn-hangzhou"
_SECRETS = ("access_key_secret", "security_token", "token")
_RAM_HOSTS = (".agentrun-data.", ".funagent-data-pre.")


def _endpoint(given: str | None, variable: str, default: str) -> str:
    value = given or os.environ.get(variable) or default
    url = (value if "://" in value else f"https://{value}").rstrip("/")
    if not _is_base_url(url):
        raise ConfigError(f"{url!r} is not a base URL such as https://host:port", hint=f"Check Config and {variable}")
    return url


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "false")


@dataclass(frozen=True, repr=False)
class Config:
    """The settings of every call; all of them are optional.

    Times are seconds: `timeout` bounds a whole call with its retries (600), `connect_timeout` making a connection (10),
    `read_timeout` the silence between two pieces of an answer (100). `max_retries` is how often a request that was
    certainly not executed, or only reads, is sent again (2). `transport` replaces the network: an
    `httpx.BaseTransport`, an `httpx.AsyncBaseTransport`, or an object that is both.
    """

    access_key_id: str | None = None
    access_key_secret: str | None = None
    security_token: str | None = None
    account_id: str | None = None
    token: str | None = None
    region_id: str | None = None
    timeout: float | None = None
    read_timeout: float | None = None
    control_endpoint: str | None = None
    data_endpoint: str | None = None
    devs_endpoint: str | None = None
    bailian_endpoint: str | None = None
    use_vpc_endpoint: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    connect_timeout: float | None = field(default=None, kw_only=True)
    max_retries: int | None = field(default=None, kw_only=True)
    gpdb_endpoint: str | None = field(default=None, kw_only=True)
    transport: Transport | None = field(default=None, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        hidden = {name: Secret(value) for name in _SECRETS if (value := getattr(self, name)) is not None}
        headers = {name: Secret(value) for name, value in (self.headers or {}).items()}
        for name, value in {**hidden, "headers": headers}.items():
            object.__setattr__(self, name, value)
        for name in ("timeout", "read_timeout", "connect_timeout"):
            self._check(name, lambda seconds: seconds > 0, "a positive number of seconds")
        self._check("max_retries", lambda count: count >= 0, "a number of retries, 0 or more")

    def _check(self, name: str, allowed: Callable[[float], bool], wanted: str) -> None:
        value: Any = getattr(self, name)
        if value is not None and not (isinstance(value, (int, float)) and allowed(value)):
            raise ConfigError(f"{name} must be {wanted}, not {value!r}")

    @classmethod
    def local(
        cls,
        port: int = local.PORT,
        *,
        access_key_id: str = local.ACCESS_KEY_ID,
        access_key_secret: str = local.ACCESS_KEY_SECRET,
        scheme: str = "http",
    ) -> Config:
        """The settings for the emulator on this machine, as `agentrun emulator up` starts it."""
        endpoint = f"{scheme}://{local.HOST}:{port}"
        return cls(
            access_key_id=access_key_id,
            access_key_secret=access_key_secret,
            account_id=local.account_id(access_key_id),
            region_id=local.REGION,
            control_endpoint=endpoint,
            data_endpoint=endpoint,
            devs_endpoint=endpoint,
            bailian_endpoint=endpoint,
            gpdb_endpoint=endpoint,
        )

    @classmethod
    def with_configs(cls, *configs: Config | None) -> Config:
        """One Config out of several: what a later one gives wins, headers are merged."""
        given = [config for config in configs if config is not None]
        if len(given) == 1:
            return given[0]
        merged: dict[str, Any] = {}
        headers: dict[str, str] = {}
        for config in given:
            headers.update(config.headers)
            if config.access_key_id:
                merged.pop("security_token", None)  # It belongs to the key that is replaced.
            merged.update(config._given())
        return cls(headers=headers, **merged)

    def update(self, *configs: Config | None) -> Config:
        """A new Config with what the others give; this one stays as it is."""
        return Config.with_configs(self, *configs)

    def replace(self, **changes: Any) -> Config:
        """A new Config with some fields set to other values."""
        return replace(self, **changes)

    def _given(self) -> dict[str, Any]:
        values = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name != "headers")
        return {name: value for name, value in values if value is not None}

    def __repr__(self) -> str:
        shown = {name: "***" if name in _SECRETS else value for name, value in self._given().items()}
        if self.headers:
            shown["headers"] = dict.fromkeys(self.headers, "***")
        return f"Config({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def __hash__(self) -> int:
        return hash((self.access_key_id, self.account_id, self.region_id, self.control_endpoint, self.data_endpoint))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        hidden = {*_SECRETS, "transport", "headers"}
        return {name: value for name, value in self._given().items() if name not in hidden}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickled Config holds no secret: where it is loaded, the key comes from the environment.
        for spec in fields(self):
            object.__setattr__(self, spec.name, state.get(spec.name))
        object.__setattr__(self, "headers", {})
        if not self.access_key_secret:
            object.__setattr__(self, "access_key_id", None)

    # Who calls

    def find_credentials(self) -> Credentials | None:
        """The access key to sign with, None when there is none; asks the provider chain only as the last resort."""
        explicit = StsCredential(self.access_key_id, self.access_key_secret, self.security_token)
        return resolve(explicit, use_chain=not self.headers and not self.token)

    def get_credentials(self) -> Credentials:
        """The access key to sign with; raises ConfigError when there is none."""
        found = self.find_credentials()
        if found is None:
            raise ConfigError(
                "no access key",
                hint="Set AGENTRUN_ACCESS_KEY_ID and AGENTRUN_ACCESS_KEY_SECRET, pass Config(access_key_id=..., "
                "access_key_secret=...), or use the emulator: agentrun emulator exec -- python your_script.py",
            )
        return found

    def get_access_key_id(self) -> str:
        """The access key id, empty when there is none."""
        found = self.find_credentials()
        return found.access_key_id if found else ""

    def get_access_key_secret(self) -> str:
        """The access key secret, empty when there is none."""
        found = self.find_credentials()
        return found.access_key_secret if found else ""

    def get_security_token(self) -> str:
        """The token of a temporary access key, empty when there is none."""
        found = self.find_credentials()
        return (found.security_token if found else None) or ""

    def get_account_id(self) -> str:
        """The account id; raises ConfigError when there is none (`AGENTRUN_ACCOUNT_ID`, `FC_ACCOUNT_ID`)."""
        found = self.account_id or first_variable(ACCOUNT_VARIABLES)
        if not found:
            raise ConfigError("no account id", hint="Set AGENTRUN_ACCOUNT_ID or pass Config(account_id=...)")
        return found

    def get_token(self) -> str | None:
        """The token given, None when there is none."""
        return self.token

    # Where the platform is

    def get_region_id(self) -> str:
        """The region (`AGENTRUN_REGION`, `FC_REGION`, else cn-hangzhou)."""
        return self.region_id or first_variable(REGION_VARIABLES) or DEFAULT_REGION

    def get_control_endpoint(self) -> str:
        """The base URL of the control plane (`AGENTRUN_CONTROL_ENDPOINT`)."""
        default = f"https://agentrun.{self.get_region_id()}.aliyuncs.com"
        return _endpoint(self.control_endpoint, "AGENTRUN_CONTROL_ENDPOINT", default)

    def get_data_endpoint(self) -> str:
        """The base URL of the data plane (`AGENTRUN_DATA_ENDPOINT`); its cloud default needs an account id."""
        if self.data_endpoint or os.environ.get("AGENTRUN_DATA_ENDPOINT"):
            return _endpoint(self.data_endpoint, "AGENTRUN_DATA_ENDPOINT", "")
        return f"https://{self.get_account_id()}.agentrun-data.{self.get_region_id()}.aliyuncs.com"

    def get_signed_data_endpoint(self) -> str:
        """The base URL for signed calls: on the cloud's own hosts the first label ends in `-ram`."""
        base = self.get_data_endpoint()
        if not any(part in base for part in _RAM_HOSTS) or self.find_credentials() is None:
            return base
        scheme, _, host = base.partition("://")
        label, _, rest = host.partition(".")
        return base if label.endswith("-ram") else f"{scheme}://{label}-ram.{rest}"

    def get_devs_endpoint(self) -> str:
        """The base URL of the devs service, which holds tool sets (`DEVS_ENDPOINT`)."""
        return _endpoint(self.devs_endpoint, "DEVS_ENDPOINT", f"https://devs.{self.get_region_id()}.aliyuncs.com")

    def get_bailian_endpoint(self) -> str:
        """The base URL of Model Studio (`BAILIAN_ENDPOINT`)."""
        return _endpoint(self.bailian_endpoint, "BAILIAN_ENDPOINT", "https://bailian.cn-beijing.aliyuncs.com")

    def get_gpdb_endpoint(self) -> str:
        """The base URL of AnalyticDB for PostgreSQL (`GPDB_ENDPOINT`); its cloud default depends on the region."""
        region = self.get_region_id()
        host = f"gpdb-vpc.{region}" if self.get_use_vpc_endpoint() else f"gpdb.{region}"
        # The region where the service began has no name of its own.
        default = "gpdb" if host == f"gpdb.{DEFAULT_REGION}" else host
        return _endpoint(self.gpdb_endpoint, "GPDB_ENDPOINT", f"https://{default}.aliyuncs.com")

    def get_ots_endpoint(self, instance_name: str) -> str:
        """The base URL of an instance of TableStore."""
        network = "vpc.tablestore" if self.get_use_vpc_endpoint() else "ots"
        return f"https://{instance_name}.{self.get_region_id()}.{network}.aliyuncs.com"

    def get_use_vpc_endpoint(self) -> bool:
        """Whether knowledge bases are reached through the VPC (`AGENTRUN_KB_USE_VPC`)."""
        return _flag("AGENTRUN_KB_USE_VPC") if self.use_vpc_endpoint is None else self.use_vpc_endpoint

    def get_headers(self) -> dict[str, str]:
        """A copy of the extra headers of data-plane calls."""
        return dict(self.headers)

    # How long, how often, over what

    def get_timeout(self) -> float:
        """Seconds for a whole call."""
        return self.timeout or 600.0

    def get_connect_timeout(self) -> float:
        """Seconds for making a connection."""
        return self.connect_timeout or 10.0

    def get_read_timeout(self) -> float:
        """Seconds of silence between two pieces of an answer."""
        return self.read_timeout or 100.0

    def get_max_retries(self) -> int:
        """How often a request may be sent again."""
        return 2 if self.max_retries is None else self.max_retries

    @property
    def session(self) -> Session:
        """The pooled connections that calls with this Config use; shared by every Config with the same transport."""
        from agentrun._core.session import session_for  # httpx loads with the first call, not with the first Config

        return session_for(self.transport)

    def close(self) -> None:
        """Close the connections that synchronous calls opened; the next call opens new ones."""
        self.session.close()

    async def close_async(self) -> None:
        """Close the connections that calls on this event loop opened; the next call opens new ones."""
        await self.session.close_async()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_async()
