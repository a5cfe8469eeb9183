"""The guardrail of the contract as far as patterns reach: data that should not leave, and attacks on the prompt.

Patterns know shapes and phrases. They understand nothing: who words it differently passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentrun.gateway.plan import PlanError
from agentrun.gateway.safety.checks import Pattern, PatternCheck
from agentrun.model.policies import ProxyConfigAIGuardrailConfig, SafetyAction

SENSITIVE_DATA = "sensitive-data"
PROMPT_ATTACK = "prompt-attack"

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
# Between two words anything may stand but the end of the sentence, as in "ignore all of your previous instructions".
_FILLER = r"[^\n.!?]{0,40}?"
_CHINESE_FILLER = r"[^\n。\uff01\uff1f]{0,12}?"
_RULES = r"(?:instructions?|prompts?|rules|directives|guidelines)"


def is_card_number(text: str) -> bool:
    """Whether the digits of a text have the check digit of a payment card (Luhn)."""
    digits = [int(digit) for digit in reversed(re.sub(r"\D", "", text))]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def has_digit(text: str) -> bool:
    """Whether there is a digit, as in nearly all random keys and few words."""
    return any(map(str.isdigit, text))


def is_resident_id(text: str) -> bool:
    """Whether a text has the check character of a Chinese resident identity number (GB 11643)."""
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, text[:17], strict=True))
    return _ID_CHECKS[total % 11] == text[17].upper()


def _key(start: str, rest: str, end: str = r"(?![\dA-Za-z])") -> Pattern:
    # The search goes from one beginning to the next, so what must not stand before it is asked behind it.
    return Pattern.compile(rf"{start}(?<![\dA-Za-z]{start}){rest}{end}", has_digit)


_SENSITIVE = (
    # Payment cards: 13 to 19 digits, alone or in groups, that begin as the networks' do.
    Pattern.compile(r"[2-6](?<![\dA-Za-z].)(?<!\d\..)\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\dA-Za-z])", is_card_number),
    Pattern.compile(r"3[47](?<![\dA-Za-z]..)(?<!\d\...)\d{2}[ -]?\d{6}[ -]?\d{5}(?![\dA-Za-z])", is_card_number),
    Pattern.compile(
        r"[1-8](?<![\dA-Za-z].)\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![\dA-Za-z])",
        is_resident_id,
    ),
    Pattern.compile(r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----"),
    # Access keys of clouds: Alibaba Cloud, AWS, Google, Tencent Cloud.
    _key("LTAI", r"[\dA-Za-z]{12,26}"),
    _key("AKIA", r"[\dA-Z]{16}"),
    _key("ASIA", r"[\dA-Z]{16}"),
    _key("AIza", r"[\dA-Za-z_-]{35}"),
    _key("AKID", r"[\dA-Za-z]{32}"),
    # API keys: OpenAI and those who copied it, GitHub, Slack, Stripe. Some are long: as much as is certain will do.
    _key("sk-", r"(?:[\dA-Za-z]{2,10}-){0,3}[\dA-Za-z_-]{20,48}", end=""),
    _key("gh[pousr]_", r"[\dA-Za-z]{36}"),
    _key("github_pat_", r"[\dA-Za-z]{22}_[\dA-Za-z]{59}"),
    _key("xox[abeprs]-", r"[\dA-Za-z-]{10}", end=""),
    _key("[rs]k_live_", r"[\dA-Za-z]{24}", end=""),
)

_ATTACKS = (
    Pattern.compile(
        rf"(?i)\b(?:ignore|disregard|forget|override|bypass)\b{_FILLER}"
        rf"\b(?:previous|prior|above|earlier|preceding|all|system|your)\b{_FILLER}\b{_RULES}\b"
    ),
    Pattern.compile(
        rf"(?i)\b(?:reveal|print|show|repeat|output|leak|tell me)\b{_FILLER}"
        r"\b(?:your|the|its)\b (?:\w+ ){0,2}(?:system|hidden|initial|original|secret) "
        r"(?:prompt|instructions?|message)\b"
    ),
    Pattern.compile(
        r"(?i)\b(?:you are now|act as|enter|switch to|enable) (?:in |into |an? |the )?"
        r"(?:DAN|do anything now|developer mode|jailbreak(?:ed)?|god mode|unrestricted mode)\b"
    ),
    Pattern.compile(r"(?i)<\|?(?:im_start|start_header_id)\|?>\s{0,4}system"),
    Pattern.compile(
        rf"(?:忽略|无视|忘记|忘掉|不要理会|不要遵守|绕过|覆盖){_CHINESE_FILLER}"
        rf"(?:之前|以前|先前|上面|上述|以上|前面|所有|全部|系统|你的){_CHINESE_FILLER}(?:指令|指示|提示词?|规则|要求|设定|约束)"
    ),
    Pattern.compile(
        rf"(?:输出|告诉我|显示|打印|泄露|透露|重复|说出){_CHINESE_FILLER}(?:系统|初始|隐藏|原始)(?:的)?(?:提示词?|指令|设定|消息)"
    ),
    Pattern.compile(rf"(?:进入|切换到|开启|启用){_CHINESE_FILLER}(?:开发者模式|越狱模式|无限制模式|DAN ?模式)"),
)


def guardrail_checks(config: ProxyConfigAIGuardrailConfig, *, moderated: bool) -> Iterator[PatternCheck]:
    """The checks of a guardrail, which look at requests and answers unless told not to.

    `moderated` says whether a moderation service is asked anyway. Raises PlanError that names what is not there.
    """
    request, response = config.check_request is not False, config.check_response is not False
    if config.block_on_malicious_url or config.block_on_model_hallucination:
        raise PlanError("block_on_malicious_url and block_on_model_hallucination of ai_guardrail_config are not there")
    if config.block_on_content_moderation and not moderated:
        raise PlanError(
            "block_on_content_moderation of ai_guardrail_config needs a moderation service: "
            "add a content check with model_service_name"
        )
    if config.block_on_sensitive_data:
        yield PatternCheck(SENSITIVE_DATA, _SENSITIVE, SafetyAction.BLOCK, request, response)
    if config.block_on_prompt_attack and request:
        yield PatternCheck(PROMPT_ATTACK, _ATTACKS, SafetyAction.BLOCK, response=False, untrusted=True)
