"""What is asked and answered, checked: by patterns, functions of the user's, and moderation models."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from typing_extensions import Self

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.call import Call, dump
from agentrun.gateway.plan import Plan, PlanError
from agentrun.gateway.safety.checks import (
    SAFETY_HEADER,
    AskingCheck,
    CheckFailedError,
    CheckFunction,
    Moderate,
    PatternCheck,
    Verdict,
    moderation,
    safety_header,
)
from agentrun.gateway.safety.guardrail import guardrail_checks
from agentrun.gateway.safety.scan import TextScan
from agentrun.gateway.safety.screen import (
    AnswerChecks,
    EventScreen,
    Screen,
    WholeScreen,
    add,
    ask_all,
    check_failed,
    put_all,
    scan_slots,
)
from agentrun.gateway.safety.texts import Slot, request_slots
from agentrun.model.policies import ContentCheck, ProxyConfigAIGuardrailConfig, SafetyAction

_PIECE = 8192
_ANSWERING = frozenset(("chat/completions", "completions", "responses"))


@dataclass(frozen=True)
class ContentSafety:
    """The checks of one proxy, in the order in which they are made: patterns first, then those that are asked.

    `piece` is how many characters of a text patterns look through at a time, and the most a moderation model is asked
    about at once.
    """

    patterns: tuple[PatternCheck, ...] = ()
    asking: tuple[AskingCheck, ...] = ()
    piece: int = _PIECE

    @classmethod
    def of(
        cls, plan: Plan, functions: Mapping[str, CheckFunction] | None = None, moderate: Moderate | None = None
    ) -> Self | None:
        """The checks of a proxy, None when it has none; raises PlanError that names the check at fault.

        `functions` are by the names that checks use; `moderate` asks a model service which categories a text has.
        """
        guardrail = plan.policies.ai_guardrail_config or ProxyConfigAIGuardrailConfig()
        checks = plan.gateway.content_checks
        piece = guardrail.max_text_length or _PIECE
        moderated = any(check.model_service_name for check in checks)
        written = [_patterns(check, check.patterns) for check in checks if check.patterns]
        patterns = (*guardrail_checks(guardrail, moderated=moderated), *written)
        asking = [_asking(check, functions or {}, moderate, piece) for check in checks if not check.patterns]
        return cls(patterns, tuple(asking), piece) if patterns or asking else None

    @property
    def on_request(self) -> bool:
        """Whether requests are checked."""
        return any(check.request for check in self._all)

    @property
    def on_response(self) -> bool:
        """Whether answers are checked."""
        return any(check.response for check in self._all)

    async def check_request(self, call: Call) -> tuple[Call, list[Verdict]]:
        """Check what is asked; returns the call to be sent, in which something may be replaced, and what was found.

        Raises ApiError: 400 (`content_filter`) when a check refuses it, 500 when one that could could not be made.
        """
        checks = [check for check in self.patterns if check.request]
        fields = copy.deepcopy(call.fields)
        slots = list(request_slots(fields))
        verdicts = list[Verdict]()
        changed = await self._scan(slots, checks, verdicts)
        asking = [check for check in self.asking if check.request]
        try:
            add(verdicts, await ask_all(asking, [slot.text for slot in slots], "request"))
        except CheckFailedError as error:
            raise check_failed(error) from error
        _refuse(verdicts)
        return (replace(call, body=dump(fields), fields=fields) if changed else call), verdicts

    def screen(self, operation: str, *, stream: bool) -> Screen | None:
        """What an answer of status 200 goes through, None where there is nothing to be checked.

        `stream` is whether it comes in events, as its content type says. The answer may change its length.
        """
        if operation not in _ANSWERING or not self.on_response:
            return None
        patterns = [check for check in self.patterns if check.response]
        checks = AnswerChecks(patterns, [check for check in self.asking if check.response], self.piece)
        return EventScreen(operation, checks) if stream else WholeScreen(operation, checks)

    @property
    def _all(self) -> tuple[PatternCheck | AskingCheck, ...]:
        return (*self.patterns, *self.asking)

    async def _scan(self, slots: Sequence[Slot], checks: Sequence[PatternCheck], verdicts: list[Verdict]) -> bool:
        """Look for patterns, refuse, and put what is left into the places of texts; returns whether it differs."""
        everywhere = [check for check in checks if not check.untrusted]
        scans = list[TextScan]()
        for slot in slots:
            scans += await scan_slots([slot], everywhere if slot.trusted else checks, self.piece, verdicts)
        _refuse(verdicts)
        return put_all(slots, scans)


def _patterns(check: ContentCheck, sources: Sequence[str]) -> PatternCheck:
    return PatternCheck.of(check.name, sources, _action(check), request=check.request, response=check.response)


def _action(check: ContentCheck) -> SafetyAction:
    # Models keep the values of enums.
    return SafetyAction(check.action)


def _asking(
    check: ContentCheck, functions: Mapping[str, CheckFunction], moderate: Moderate | None, piece: int
) -> AskingCheck:
    if check.model_service_name:
        if moderate is None:
            raise PlanError(f"content check {check.name!r}: there is nothing to ask {check.model_service_name!r} with")
        function = moderation(check.model_service_name, moderate)
        return AskingCheck(check.name, function, _action(check), check.request, check.response, piece)
    name = check.function or ""
    if name not in functions:
        known = ", ".join(map(repr, functions)) or "none"
        raise PlanError(f"content check {check.name!r}: there is no function {name!r}; given are: {known}")
    return AskingCheck(check.name, functions[name], _action(check), check.request, check.response)


def _refuse(verdicts: Iterable[Verdict]) -> None:
    refusing = next((verdict for verdict in verdicts if verdict.action == SafetyAction.BLOCK), None)
    if refusing is None:
        return
    reason = f": {refusing.reason}" if refusing.reason else ""
    text = f"The content check {refusing.check!r} refused this request{reason}."
    raise ApiError(400, text, "content_filter", headers={SAFETY_HEADER: safety_header(verdicts)})
