"""The tools of Alipay against a gateway that verifies every signature, and signs its answers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from agentrun.errors import ConfigError, InvalidInputError, InvalidResponseError, ServerError, ToolError
from agentrun.integration import hub
from agentrun.integration.utils import Tool
from tests.unit.modes import both_modes, drive
from tests.unit.servers import Behaviour, Line, Received, Server, answer, serving


@cache
def keys() -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
    """The app's key and Alipay's."""
    return rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)


def private_text(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_text(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    return re.sub(r"-----.*?-----|\s", "", pem)


def checked(fields: dict[str, str], method: str) -> dict[str, Any]:
    """The content of a request whose signature and common fields are right."""
    sign = base64.b64decode(fields.pop("sign"))
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
    keys()[0].public_key().verify(sign, text.encode(), padding.PKCS1v15(), SHA256())
    fixed = {name: fields[name] for name in ("app_id", "method", "format", "charset", "sign_type", "version")}
    assert fixed == {
        "app_id": "2021",
        "method": method,
        "format": "json",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "version": "1.0",
    }
    china = datetime.now(timezone(timedelta(hours=8))).replace(tzinfo=None)
    assert abs(china - datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S")) < timedelta(minutes=5)
    content: dict[str, Any] = json.loads(fields["biz_content"])
    return content


def signed(method: str, content: dict[str, Any], key: rsa.RSAPrivateKey | None = None, spaced: bool = False) -> bytes:
    """An answer of the gateway."""
    inner = json.dumps(content, ensure_ascii=False, indent=1 if spaced else None)
    sign = (key or keys()[1]).sign(inner.encode(), padding.PKCS1v15(), SHA256())
    name = f"{method.replace('.', '_')}_response"
    return f'{{"{name}" : {inner},"sign":"{base64.b64encode(sign).decode()}"}}'.encode()


class Gateway:
    """Expects calls of a method, and keeps their contents."""

    def __init__(self) -> None:
        self.contents: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, bytes] = {}
        self.problems: list[BaseException] = []

    def behave(self) -> Behaviour:
        def serve(line: Line, request: Received) -> bool:
            try:
                return answer(self._answer(request))(line, request)
            except BaseException as problem:
                self.problems.append(problem)
                return answer(b"", 500)(line, request)

        return serve

    def _answer(self, request: Received) -> bytes:
        assert (request.method, request.path) == ("POST", "/gateway.do")
        assert request.headers["content-type"] == "application/x-www-form-urlencoded;charset=utf-8"
        fields = dict(parse_qsl(request.body.decode(), strict_parsing=True))
        method = fields["method"]
        self.contents.append((method, checked(fields, method)))
        return self.answers[method]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def server(gateway: Gateway) -> Iterator[Server]:
    with serving(gateway.behave()) as made:
        yield made
    assert gateway.problems == []


def tool(server: Server, name: str, family: str = "payment", **options: Any) -> Tool:
    given = {
        "app_id": "2021",
        "private_key": private_text(keys()[0], serialization.PrivateFormat.PKCS8),
        "alipay_public_key": public_text(keys()[1]),
        "gateway": f"{server.url}/gateway.do",
        "timeout": 20.0,
        **options,
    }
    return next(each for each in hub.get(f"alipay.{family}", **given).tools() if each.name == name)


@both_modes
@pytest.mark.parametrize(
    ("name", "method", "product"),
    [
        ("alipay_mobile_payment", "alipay.trade.wap.pay", "QUICK_WAP_WAY"),
        ("alipay_webpage_payment", "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    ],
)
def test_a_link_to_pay_by_is_signed(mode: str, server: Server, name: str, method: str, product: str) -> None:
    paying = tool(server, name, return_url="https://shop/back?x=1", notify_url="https://shop/told", channel="shop")
    order = {"out_trade_no": "o-1", "order_title": "茶 & tea", "total_amount": 12.5}
    found = drive(mode, paying.call_async(**order))
    parts = urlsplit(str(found["payment_url"]))
    fields = dict(parse_qsl(parts.query, strict_parsing=True))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{server.url}/gateway.do"
    assert (fields["return_url"], fields["notify_url"]) == ("https://shop/back?x=1", "https://shop/told")
    assert checked(fields, method) == {
        "out_trade_no": "o-1",
        "total_amount": "12.50",
        "subject": "茶 & tea",
        "product_code": product,
        "extend_params": {"request_channel_source": "shop"},
    }
    assert found["result"] == f"[Pay by Alipay]({found['payment_url']})"
    assert server.requests == []


@both_modes
def test_a_payment_is_asked_for(mode: str, gateway: Gateway, server: Server) -> None:
    content = {"code": "10000", "msg": "Success", "trade_status": "TRADE_SUCCESS", "buyer": '李 {"x"}'}
    gateway.answers["alipay.trade.query"] = signed("alipay.trade.query", content, spaced=True)
    found = drive(mode, tool(server, "alipay_query_payment").call_async(out_trade_no="o-1"))
    assert found == content
    assert gateway.contents == [("alipay.trade.query", {"out_trade_no": "o-1"})]


@both_modes
def test_money_is_given_back_once(mode: str, gateway: Gateway, server: Server) -> None:
    gateway.answers["alipay.trade.refund"] = signed("alipay.trade.refund", {"code": "10000", "fund_change": "Y"})
    refund = tool(server, "alipay_refund_payment")
    for _ in range(2):
        drive(mode, refund.call_async(out_trade_no="o-1", refund_amount="3.30", refund_reason="broken"))
    found = drive(mode, refund.call_async(out_trade_no="o-1", refund_amount=3.3, out_request_no="r-2"))
    first, again, other = (content for _, content in gateway.contents)
    assert first == again
    assert (first["refund_amount"], first["refund_reason"], len(first["out_request_no"])) == ("3.30", "broken", 32)
    assert other == {"out_trade_no": "o-1", "refund_amount": "3.30", "out_request_no": "r-2"}
    assert (found["fund_change"], found["out_request_no"]) == ("Y", "r-2")


@both_modes
def test_a_refund_is_asked_for(mode: str, gateway: Gateway, server: Server) -> None:
    method = "alipay.trade.fastpay.refund.query"
    gateway.answers[method] = signed(method, {"code": "10000", "refund_status": "REFUND_SUCCESS"})
    query = tool(server, "alipay_query_refund")
    found = drive(mode, query.call_async(out_trade_no="o-1", out_request_no="r-2"))
    assert found["refund_status"] == "REFUND_SUCCESS"
    assert gateway.contents == [(method, {"out_trade_no": "o-1", "out_request_no": "r-2"})]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"out_trade_no": "o", "order_title": "t", "total_amount": 0}, "total_amount"),
        ({"out_trade_no": "o", "order_title": "t", "total_amount": 1.234}, "total_amount"),
        ({"out_trade_no": "o" * 65, "order_title": "t", "total_amount": 1}, "out_trade_no"),
        ({"out_trade_no": "o", "order_title": "t"}, "total_amount"),
    ],
)
def test_wrong_amounts_and_numbers_are_named(server: Server, arguments: dict[str, Any], field: str) -> None:
    error = tool(server, "alipay_webpage_payment").outcome(arguments).error
    assert isinstance(error, InvalidInputError)
    assert str(error.field).startswith(field)


# Subscriptions

MEMBER = {"subscribe_package_type": "byCount", "subscribe_times": 10, "left_times": 4}


def subscribing(server: Server, name: str, **options: Any) -> Tool:
    return tool(server, name, "subscription", **{"plan_id": "p-1", "agent_name": "bot", "channel": "shop", **options})


@both_modes
def test_subscriptions_are_asked_for_ordered_and_used(mode: str, gateway: Gateway, server: Server) -> None:
    status, initialize, save = (
        f"alipay.aipay.subscribe.{part}" for part in ("status.check", "package.initialize", "times.save")
    )
    valid = {"member_status": "VALID", "subscribe_member_info_d_t_o": MEMBER}
    gateway.answers = {
        status: signed(status, {"code": "10000", "data": valid}),
        initialize: signed(initialize, {"code": "10000", "data": {"subscribe_url": "https://pay"}}),
        save: signed(save, {"code": "10000", "data": {"count_success": True}}),
    }

    def call(name: str, **arguments: Any) -> Any:
        return drive(mode, subscribing(server, name).call_async(uuid="u", **arguments))

    told = {"subscribe_flag": True, "subscribe_package": "4 of 10 times are left"}
    assert call("query-alipay-subscription-status") == told
    assert call("alipay_subscribe_check_or_initialize") == {"subscribe_flag": True, "subscribe_url": None}
    assert call("initialize-alipay-subscription-order") == {"subscribe_url": "https://pay"}
    assert call("times-alipay-subscription-consume", out_request_no="n") == {"success": True}
    common = {"uuid": "u", "plan_id": "p-1", "channel": "shop"}
    assert [content for _, content in gateway.contents] == [
        common,
        common,
        {**common, "agent_name": "bot"},
        {**common, "use_times": 1, "out_request_no": "n"},
    ]
    gateway.answers[status] = signed(status, {"code": "10000", "data": {"member_status": "INVALID"}})
    offered = {"subscribe_flag": False, "subscribe_url": "https://pay"}
    assert call("alipay_subscribe_check_or_initialize") == offered


# What goes wrong


@both_modes
def test_what_alipay_refuses_is_an_error_with_its_code(mode: str, gateway: Gateway, server: Server) -> None:
    refused = {"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_NOT_EXIST", "sub_msg": "no such trade"}
    gateway.answers["alipay.trade.query"] = signed("alipay.trade.query", refused)
    outcome = drive(mode, tool(server, "alipay_query_payment").outcome_async({"out_trade_no": "o"}))
    assert isinstance(outcome.error, ToolError)
    assert (outcome.error.error_code, outcome.error.message) == ("ACQ.TRADE_NOT_EXIST", "no such trade")
    assert outcome.error.executed == "no"


def test_of_a_service_that_is_down_nobody_knows(gateway: Gateway, server: Server) -> None:
    down = {"code": "20000", "msg": "Service Currently Unavailable"}
    gateway.answers["alipay.trade.refund"] = signed("alipay.trade.refund", down)
    error = tool(server, "alipay_refund_payment").outcome({"out_trade_no": "o", "refund_amount": 1}).error
    assert isinstance(error, ToolError)
    assert error.executed == "unknown"


ANSWERS: dict[str, Callable[[], bytes]] = {
    "of another key": lambda: signed("alipay.trade.query", {"code": "10000"}, keys()[0]),
    "without a signature": lambda: b'{"alipay_trade_query_response": {"code": "10000"}}',
    "that was changed": lambda: signed("alipay.trade.query", {"code": "10000", "paid": "1"}).replace(b'"1"', b'"9"'),
    "to something else": lambda: signed("alipay.trade.refund", {"code": "10000"}),
    "that is no JSON": lambda: b"<html>",
    "with a broken signature": lambda: b'{"alipay_trade_query_response": {"code": "10000"}, "sign": "%"}',
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_not_alipays_is_not_believed(gateway: Gateway, server: Server, name: str) -> None:
    gateway.answers["alipay.trade.query"] = ANSWERS[name]()
    error = tool(server, "alipay_query_payment").outcome({"out_trade_no": "o"}).error
    assert isinstance(error, InvalidResponseError)


def test_a_request_that_alipay_does_not_know_is_told(gateway: Gateway, server: Server) -> None:
    unsigned = {"error_response": {"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-app-id"}}
    gateway.answers["alipay.trade.query"] = json.dumps(unsigned).encode()
    error = tool(server, "alipay_query_payment").outcome({"out_trade_no": "o"}).error
    assert isinstance(error, ToolError)
    assert error.error_code == "isv.invalid-app-id"


def test_a_gateway_that_fails_is_an_error() -> None:
    with serving(answer(b"", 502)) as server:
        error = tool(server, "alipay_query_payment").outcome({"out_trade_no": "o"}).error
    assert isinstance(error, ServerError)


# Keys


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("bare", [True, False])
def test_keys_are_taken_in_every_form(server: Server, form: serialization.PrivateFormat, bare: bool) -> None:
    text = private_text(keys()[0], form)
    key = re.sub(r"-----.*?-----|\s", "", text) if bare else text
    paying = tool(server, "alipay_mobile_payment", private_key=key)
    found = paying(out_trade_no="o", order_title="t", total_amount=1)
    checked(dict(parse_qsl(urlsplit(str(found["payment_url"])).query)), "alipay.trade.wap.pay")


@pytest.mark.parametrize(
    ("variable", "option"),
    [("ALIPAY_APP_ID", "app_id"), ("ALIPAY_PRIVATE_KEY", "private_key"), ("ALIPAY_PUBLIC_KEY", "alipay_public_key")],
)
def test_what_is_missing_is_named(server: Server, monkeypatch: pytest.MonkeyPatch, variable: str, option: str) -> None:
    monkeypatch.delenv(variable, raising=False)
    missing: dict[str, Any] = {option: None}
    outcome = tool(server, "alipay_query_payment", **missing).outcome({"out_trade_no": "o"})
    assert isinstance(outcome.error, ConfigError)
    assert variable in outcome.text
    assert server.requests == []


@pytest.mark.parametrize("key", ["nonsense!", base64.b64encode(b"canary-key").decode()])
def test_a_key_that_is_none_is_told_and_not_shown(server: Server, key: str) -> None:
    for option in ("private_key", "alipay_public_key"):
        made = tool(server, "alipay_query_payment", **{option: key})
        outcome = made.outcome({"out_trade_no": "o"})
        assert isinstance(outcome.error, ConfigError)
        assert key not in outcome.text + repr(made)
