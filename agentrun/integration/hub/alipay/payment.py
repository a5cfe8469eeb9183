"""Payments by Alipay: links to pay by, what became of a payment, and giving money back."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from agentrun.integration._function import of_both_modes
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub.alipay._gateway import AlipayOptions, Gateway

# Yuan with at most two decimals, exactly: money is no float.
Amount: TypeAlias = Annotated[Decimal, Field(gt=0, decimal_places=2, le=100_000_000)]
OrderNumber: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]


def toolset(**options: Any) -> CommonToolSet:
    """Payments by Alipay; the options are those of AlipayOptions."""
    return CommonToolSet(_Payments(Gateway(AlipayOptions(**options))).tools)


class _Payments:
    """The tools, as methods: their names, docstrings and hints are what models read."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @property
    def tools(self) -> list[Tool]:
        """All of them."""
        functions = (
            *(self.alipay_mobile_payment, self.alipay_webpage_payment, self.alipay_query_payment),
            *(self.alipay_refund_payment, self.alipay_query_refund),
        )
        return [of_both_modes(function) for function in functions]

    async def alipay_mobile_payment(
        self, out_trade_no: OrderNumber, order_title: str, total_amount: Amount
    ) -> dict[str, str]:
        """Make a link by which a user pays on a phone; show it to the user.

        Args:
            out_trade_no: The number of the order, as the seller counts.
            order_title: What is paid for.
            total_amount: How much, in yuan.
        """
        return await self._link("alipay.trade.wap.pay", "QUICK_WAP_WAY", out_trade_no, order_title, total_amount)

    async def alipay_webpage_payment(
        self, out_trade_no: OrderNumber, order_title: str, total_amount: Amount
    ) -> dict[str, str]:
        """Make a link by which a user pays in a browser on a computer; show it to the user.

        Args:
            out_trade_no: The number of the order, as the seller counts.
            order_title: What is paid for.
            total_amount: How much, in yuan.
        """
        return await self._link(
            "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY", out_trade_no, order_title, total_amount
        )

    async def alipay_query_payment(self, out_trade_no: OrderNumber) -> dict[str, Any]:
        """Tell what became of a payment: trade_status, total_amount, trade_no.

        Args:
            out_trade_no: The number of the order, as the seller counts.
        """
        return await self._gateway.call("alipay.trade.query", {"out_trade_no": out_trade_no})

    async def alipay_refund_payment(
        self,
        out_trade_no: OrderNumber,
        refund_amount: Amount,
        refund_reason: str | None = None,
        out_request_no: OrderNumber | None = None,
    ) -> dict[str, Any]:
        """Give the money of a payment back, or a part of it.

        Args:
            out_trade_no: The number of the order, as the seller counts.
            refund_amount: How much, in yuan.
            refund_reason: Why.
            out_request_no: The number of this refund; the same number never gives money back twice. Without one it
                follows from the order and the amount, so a second refund of that amount needs a number.
        """
        number = out_request_no or _refund_number(out_trade_no, refund_amount)
        asked = {
            "out_trade_no": out_trade_no,
            "refund_amount": f"{refund_amount:.2f}",
            "out_request_no": number,
            **({"refund_reason": refund_reason} if refund_reason else {}),
        }
        return {**await self._gateway.call("alipay.trade.refund", asked), "out_request_no": number}

    async def alipay_query_refund(self, out_trade_no: OrderNumber, out_request_no: OrderNumber) -> dict[str, Any]:
        """Tell what became of a refund.

        Args:
            out_trade_no: The number of the order, as the seller counts.
            out_request_no: The number of the refund.
        """
        asked = {"out_trade_no": out_trade_no, "out_request_no": out_request_no}
        return await self._gateway.call("alipay.trade.fastpay.refund.query", asked)

    async def _link(self, method: str, product: str, number: str, title: str, amount: Decimal) -> dict[str, str]:
        order = {"out_trade_no": number, "total_amount": f"{amount:.2f}", "subject": title, "product_code": product}
        channel = {"extend_params": {"request_channel_source": self._gateway.options.channel}}
        url = await self._gateway.page_url(method, {**order, **channel})
        return {"payment_url": url, "result": f"[Pay by Alipay]({url})"}


def _refund_number(order: str, amount: Decimal) -> str:
    # The same each time: a model that tries again after an answer was lost must not give the money back twice.
    return hashlib.sha256(f"{order}\n{amount:.2f}".encode()).hexdigest()[:32]
