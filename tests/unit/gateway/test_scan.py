"""A text that comes in pieces: the same is found however it is cut, and nothing of it is shown too early."""

from __future__ import annotations

import asyncio
import random
import re

import pytest

from agentrun.gateway.plan import PlanError
from agentrun.gateway.safety.checks import LONGEST_MATCH, Pattern, PatternCheck
from agentrun.gateway.safety.scan import STREAM_WINDOW, TextScan, scan_whole
from agentrun.model.policies import SafetyAction

REDACT, BLOCK, FLAG = SafetyAction.REDACT, SafetyAction.BLOCK, SafetyAction.FLAG
PATTERNS = [
    r"secret",
    r"\bcat\b",
    r"ab+c",
    r"(?<=key: )\w{4}",
    r"\d{4}-\d{4}",
    r"one(?= two)",
    r"x(?!y)",
    r"<[^>]*>",
    r"(?i)PASS(?:WORD|PHRASE)?",
    r"密.{0,3}码",
    r"^start",
]
WORDS = [
    *["secret", "sec", "ret", "cat", "s", "abbb", "c", "key: ", "wxyz", "1234-", "5678", "one", " two", "xy", "x"],
    *["<a href", ">", "passWORD", "phrase", "密", "是的", "码", " ", "start", "\n"],
]


def checks(*sources: str, action: SafetyAction = REDACT) -> list[PatternCheck]:
    return [PatternCheck.of("c", sources, action)]


def shown_as_it_comes(pieces: list[str], made: list[PatternCheck]) -> str:
    """What a text shows when all that is cleared is taken at once and forgotten."""
    scan, shown, at = TextScan(made), "", 0
    for piece in pieces:
        scan.feed(piece)
        shown += scan.shown(at, scan.cleared)
        at = scan.cleared
        scan.forget(at)
    scan.finish()
    return shown + scan.shown(at, scan.cleared)


def replaced(text: str, *sources: str) -> str:
    """What is to be shown of a whole text: each match replaced, as one with what it overlaps."""
    spans = sorted(match.span() for source in sources for match in re.finditer(source, text))
    shown, at = "", 0
    for begin, end in spans:
        shown += text[at:begin] + "***" if begin >= at else ""
        at = max(at, end)
    return shown + text[at:]


def cut_at_random(text: str, some: random.Random) -> list[str]:
    places = sorted(some.sample(range(len(text) + 1), min(len(text), some.randint(0, 12))))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize("source", PATTERNS)
def test_each_pattern_replaces_as_if_the_text_were_whole(source: str) -> None:
    some = random.Random(source)
    for _ in range(200):
        text = "".join(some.choices(WORDS, k=some.randint(1, 40)))
        assert shown_as_it_comes(cut_at_random(text, some), checks(source)) == re.sub(source, "***", text)


def test_several_patterns_replace_what_they_overlap_as_one() -> None:
    made = [*checks("abc"), *checks("cde", "g")]
    assert shown_as_it_comes(list("xabcdefg"), made) == "x***f***"
    assert shown_as_it_comes(["xabcdefg"], made) == "x***f***"


def test_long_texts_are_forgotten_on_the_way_and_still_right() -> None:
    some = random.Random(3)
    text = "".join(some.choices(WORDS, k=20_000))
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    assert shown_as_it_comes(pieces, checks(*PATTERNS[:5])) == replaced(text, *PATTERNS[:5])
    scan = TextScan(checks("secret"))
    for piece in pieces:
        scan.feed(piece)
        scan.forget(scan.cleared)
        assert scan.size < 10_000


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("secret", 7),
        (r"\d{4}-\d{4}(?!\d)", 10),
        (r"(?<![\dA-Za-z])\d{4}(?![\dA-Za-z])", 5),
        ("secret.*", STREAM_WINDOW + 1),
        ("a(?=bcd)", STREAM_WINDOW + 1),
        (f"a.{{{LONGEST_MATCH}}}", STREAM_WINDOW + 1),
        ("a.{500}", 502),
    ],
)
def test_no_more_is_held_back_than_may_become_a_match(source: str, held: int) -> None:
    scan = TextScan(checks(source))
    scan.feed("." * 5000)
    assert scan.end - scan.cleared == held


def test_what_is_only_noted_holds_nothing_back() -> None:
    scan = TextScan(checks("secret", action=FLAG))
    scan.feed("a sec")
    assert scan.cleared == 5
    scan.feed("ret that is out, and again: secret. And so on.")
    assert [(verdict.check, verdict.action) for verdict in scan.verdicts] == [("c", FLAG)]


def test_a_block_ends_it_before_the_first_character() -> None:
    for pieces in (list("fine. secret!"), ["fine. secret!"], ["fine. se", "cret!"]):
        scan = TextScan(checks("secret", action=BLOCK))
        for piece in pieces:
            scan.feed(piece)
        scan.finish()
        assert scan.blocked
        assert "fine. ".startswith(scan.shown(0, scan.cleared))


def test_a_match_without_an_end_is_replaced_as_one_up_to_its_bound() -> None:
    long = "<" + "a" * 2000 + ">"
    assert shown_as_it_comes(list(f"see {long}!"), checks("<[^>]*>")) != "see ***!"
    assert shown_as_it_comes(list(f"see {long[:-1]} "), checks(r"<\w*")) == "see *** "
    assert asyncio.run(scan_whole(f"see {long}!", checks("<[^>]*>"), 100)).shown(0, 7) == "see ***"


def test_what_goes_on_after_its_end_is_found_as_far_as_it_can_be() -> None:
    scan = TextScan(checks("secret", action=BLOCK))
    scan.feed("a sec")
    scan.finish()
    assert scan.cleared == 5
    scan.feed("ret")
    assert scan.cleared == 5
    scan.finish()
    assert scan.blocked
    again = TextScan(checks("secret"))
    again.feed("secret and sec")
    again.finish()
    again.feed("ret!")
    again.finish()
    assert again.shown(0, again.end) == "*** and sec***!"


@pytest.mark.parametrize("piece", [1, 7, 64, 10_000])
def test_a_whole_text_comes_to_the_same_in_pieces_of_any_size(piece: int) -> None:
    text = "".join(random.Random(5).choices(WORDS, k=300))
    scan = asyncio.run(scan_whole(text, checks(*PATTERNS[:4]), piece))
    assert scan.shown(0, scan.end) == replaced(text, *PATTERNS[:4])


@pytest.mark.parametrize("source", ["(", "a{99999999999}", "(?P<a>b)(?P<a>c)", "x*", ""])
def test_a_pattern_that_is_none_is_refused_with_the_name_of_its_check(source: str) -> None:
    with pytest.raises(PlanError, match="content check 'mine': the pattern '"):
        PatternCheck.of("mine", ["fine", source], BLOCK)


def test_what_matches_nothing_at_a_place_finds_nothing_there() -> None:
    assert shown_as_it_comes(list("a b"), checks(r"a|\b")) == "*** b"


def test_what_a_pattern_accepts_has_the_last_word() -> None:
    even = Pattern.compile(r"\d\d", lambda text: int(text) % 2 == 0)
    made = [PatternCheck("c", (even,), REDACT)]
    assert shown_as_it_comes(list("11 12 13 124"), made) == "11 *** 13 ***4"
    assert shown_as_it_comes(list("112"), made) == "1***"
