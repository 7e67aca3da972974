"""Applies a template's technique: several samples and a vote, or checks and further rounds."""

import asyncio
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.ask import Turn
from gateway.errors import RequestError, TemplateError
from gateway.exchange import AnswerDraws, ChosenAnswer, Drawn, Exchange, Note
from gateway.prompt.answers.checks import failures
from gateway.prompt.answers.vote import elect, result_of
from gateway.prompt.templates.fields import Samples
from gateway.prompt.templates.template import Template


class TechniqueRun(Struct, frozen=True):
    """The `Procedure` of a template for one request. `values` are the template's filled slots."""

    template: Template
    values: Mapping[str, str]

    @property
    def several(self) -> bool:
        return self.template.samples is not None or self.template.iterate is not None

    @property
    def marker(self) -> str:
        reasoning = self.template.reasoning
        return reasoning.marker if reasoning.mode == "split" else ""

    async def settle(self, exchange: Exchange, asking: AnswerDraws) -> ChosenAnswer:
        notes: list[Note] = []
        drawn = await self._drawn(exchange, asking, notes)
        if self.template.iterate is not None:
            drawn, note = await _Rounds(self, asking).run(drawn)
            notes.append(note)
        return ChosenAnswer(drawn.number, tuple(notes))

    async def _drawn(self, exchange: Exchange, asking: AnswerDraws, notes: list[Note]) -> Drawn:
        samples = self.template.samples
        if samples is None:
            return await asking.draw("answer")
        if exchange.ask.greedy:
            notes.append(Note("samples", "one", "at the client's temperature of 0 all samples would be the same"))
            return await asking.draw("answer")
        return self._elected(await _all(asking, samples), samples, notes)

    def _elected(self, drawn: Sequence[Drawn], samples: Samples, notes: list[Note]) -> Drawn:
        marker = self.template.reasoning.marker
        results = [result_of(draw.text, marker, samples.answer) for draw in drawn]
        index, votes = elect(results)
        notes.append(Note("samples", "voted", f"{votes} of {samples.n} agree", {"votes": votes, "n": len(drawn)}))
        return drawn[index]


class _Rounds:
    """Asks the model again while a check fails and the budget lasts. The answer with the fewest failures is used."""

    def __init__(self, technique: TechniqueRun, asking: AnswerDraws) -> None:
        self._template, self._values = technique.template, technique.values
        self._asking = asking
        self._spent = 0

    async def run(self, drawn: Drawn) -> tuple[Drawn, Note]:
        iterate = self._template.iterate
        assert iterate is not None
        wrong = await self._wrong(drawn)
        best, fewest, rounds, why = drawn, len(wrong), 0, ""
        while wrong and rounds < iterate.rounds:
            if iterate.budget_tokens and self._spent >= iterate.budget_tokens:
                why = f"its {iterate.budget_tokens} tokens are spent"
                break
            rounds += 1
            try:
                drawn = await self._asking.draw("retry", self._follow(drawn, wrong))
            except (RequestError, TemplateError) as error:
                why = f"a further round failed: {error}"
                break
            wrong = await self._wrong(drawn)
            if len(wrong) < fewest:
                best, fewest = drawn, len(wrong)
        result = why or ("all checks hold" if not fewest else f"{fewest} of its checks fail")
        data = {"rounds": rounds, "failed": fewest, "tokens": self._spent}
        return best, Note("iterate", "passed" if not fewest else "kept the best", result, data)

    def _follow(self, drawn: Drawn, wrong: Sequence[str]) -> tuple[Turn, ...]:
        """Return the turns of a further round. Raises `TemplateError`."""
        return (Turn("assistant", drawn.text), Turn("user", self._template.ask_again(self._values, drawn.text, wrong)))

    async def _wrong(self, drawn: Drawn) -> tuple[str, ...]:
        """Return a description of each check that the answer fails. A judge costs a call, so the judge is asked only if
        the answer passes all other checks.
        """
        self._spent += drawn.tokens
        wrong = failures(drawn.text, self._template.checks)
        if wrong:
            return wrong
        return tuple([what for index in self._template.judges if (what := await self._judged(index, drawn))])

    async def _judged(self, index: int, drawn: Drawn) -> str:
        check = self._template.checks[index]
        try:
            question = self._template.ask_judge(index, self._values, drawn.text)
            reply = await self._asking.judge([Turn("user", question)], check.model)
        except (RequestError, TemplateError):
            return ""  # a judge that fails counts as a pass
        self._spent += reply.tokens
        passes = re.match(rf"{re.escape(check.passes)}(?![A-Za-z0-9_])", reply.text.strip(), re.IGNORECASE)
        return "" if passes else reply.text.strip() or "The judge's reply is empty."


def technique_of(template: Template, values: Mapping[str, str]) -> TechniqueRun | None:
    """Return the technique of a template, or None if one plain call is enough."""
    if template.samples is None and template.iterate is None and template.reasoning.mode != "split":
        return None
    technique = TechniqueRun(template, values)
    return technique if technique.several or technique.marker else None


async def _all(asking: AnswerDraws, samples: Samples) -> list[Drawn]:
    """Draw all samples, and return those that succeeded. Raises the first error if all samples failed. Raises any error
    that is not a `RequestError`.
    """
    draws = [asking.draw("sample", (), samples.temperature) for _ in range(samples.n)]
    results = await asyncio.gather(*draws, return_exceptions=True)
    successes = [result for result in results if isinstance(result, Drawn)]
    for result in results:
        # a backend's failure costs only this sample; any other error ends the request
        if isinstance(result, BaseException) and (not successes or not isinstance(result, RequestError)):
            raise result
    return successes
