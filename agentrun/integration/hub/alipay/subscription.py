"""Subscriptions by Alipay: who has one, how to get one, and counting what is used of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun.integration._function import of_both_modes
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub.alipay._gateway import AlipayOptions, Gateway

_STATUS = "alipay.aipay.subscribe.status.check"
_INITIALIZE = "alipay.aipay.subscribe.package.initialize"
_SAVE = "alipay.aipay.subscribe.times.save"


class _Subscriptions:
    """The subscriptions to one plan."""

    def __init__(self, options: AlipayOptions) -> None:
        self._options = options
        self._gateway = Gateway(options)

    async def _call(self, method: str, uuid: str, **more: Any) -> Mapping[str, Any]:
        plan = self._options.setting(self._options.plan_id, "SUBSCRIBE_PLAN_ID", "the id of a subscription plan")
        content = {"uuid": uuid, "plan_id": plan, "channel": self._options.channel, **more}
        data: Mapping[str, Any] = (await self._gateway.call(method, content)).get("data") or {}
        return data

    async def status(self, uuid: str) -> dict[str, Any]:
        data = await self._call(_STATUS, uuid)
        about: Mapping[str, Any] = data.get("subscribe_member_info_d_t_o") or {}
        is_valid = data.get("member_status") == "VALID"
        return {"subscribe_flag": is_valid, "subscribe_package": _package(about) if is_valid else None}

    async def order(self, uuid: str) -> dict[str, Any]:
        name = self._options.setting(self._options.agent_name, "X_AGENT_NAME", "the agent's name")
        data = await self._call(_INITIALIZE, uuid, agent_name=name)
        return {"subscribe_url": data.get("subscribe_url")}

    async def use(self, uuid: str, out_request_no: str) -> dict[str, Any]:
        times = int(self._options.setting(self._options.use_times or 1, "USE_TIMES", "how often a use counts"))
        data = await self._call(_SAVE, uuid, use_times=times, out_request_no=out_request_no)
        return {"success": bool(data.get("count_success"))}


def _package(about: Mapping[str, Any]) -> str | None:
    if about.get("subscribe_package_type") == "byCount":
        return f"{about.get('left_times')} of {about.get('subscribe_times')} times are left"
    if about.get("subscribe_package_type") == "byTime":
        return f"until {about.get('expired_date')}"
    return None


def toolset(**options: Any) -> CommonToolSet:
    """Subscriptions by Alipay; the options are those of AlipayOptions, with `plan_id` and `agent_name`."""
    subscriptions = _Subscriptions(AlipayOptions(**options))

    async def status(uuid: str) -> dict[str, Any]:
        """Tell whether a user has a valid subscription, and what is left of it.

        Args:
            uuid: The id of the user's account.
        """
        return await subscriptions.status(uuid)

    async def order(uuid: str) -> dict[str, Any]:
        """Make a link by which a user subscribes; show it to the user.

        Args:
            uuid: The id of the user's account.
        """
        return await subscriptions.order(uuid)

    async def consume(uuid: str, out_request_no: str) -> dict[str, Any]:
        """Count that a user has used the service.

        Args:
            uuid: The id of the user's account.
            out_request_no: The number of this use; the same number is never counted twice.
        """
        return await subscriptions.use(uuid, out_request_no)

    async def check_or_order(uuid: str) -> dict[str, Any]:
        """Tell whether a user has a valid subscription, or make a link by which to get one.

        Args:
            uuid: The id of the user's account.
        """
        if (await subscriptions.status(uuid))["subscribe_flag"]:
            return {"subscribe_flag": True, "subscribe_url": None}
        return {"subscribe_flag": False, **await subscriptions.order(uuid)}

    return CommonToolSet(
        [
            of_both_modes(status, "query-alipay-subscription-status"),
            of_both_modes(order, "initialize-alipay-subscription-order"),
            of_both_modes(consume, "times-alipay-subscription-consume"),
            of_both_modes(check_or_order, "alipay_subscribe_check_or_initialize"),
        ]
    )
