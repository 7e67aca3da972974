"""Gets answers to raw and rewritten prompts, scores the answers, and turns the scores into rows of the gain table.

There are three sources of a score: the right answer, the checks that the client's prompt states, and a judge that has
passed its exam (`known_order`). A template's own checks are not used, since they favour the template.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from statistics import fmean, stdev

from msgspec import Struct

from gateway.ask import Ask, Endpoint, Mode, Turn
from gateway.errors import BackendFailed, RequestError
from gateway.exchange import Exchange, Sampling, Target
from gateway.marker import split
from gateway.ports import Completer
from gateway.prompt.answers.judge import agreed, matches, question, verdict
from gateway.prompt.answers.stated_checks import StatedCheck, share_passed
from gateway.prompt.policy.gains import Gain, GainKey
from gateway.records.scores import paired

RIGHT, STATED, JUDGED = "right answers", "client's checks", "judge"
ANSWER_TOKENS = 160
"""The maximum number of tokens in an answer, if the template sets no maximum."""
JUDGE = Sampling(max_tokens=8, temperature=0.0)
GIVE_UP_AFTER = 5
SEED = 1
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


class AnswerPair(Struct, frozen=True):
    """One request with its raw and its rewritten prompt. `key` is the key of the row in the gain table.

    `right` is the right answer, or "" if it is unknown. `compare`, one of `COMPARISONS`, sets how an answer is compared
    with `right`. If the template separates the reasoning, `marker` begins the line with the final answer.
    """

    id: str
    key: GainKey
    target: Target
    raw: tuple[Turn, ...]
    rewritten: tuple[Turn, ...]
    sampling: Sampling
    right: str = ""
    compare: str = "text"
    checks: tuple[StatedCheck, ...] = ()
    template: str = ""
    intent: str = ""
    marker: str = ""

    def scored_by(self, judge: str) -> str:
        """Return the best available source of a score: the right answer, else the client's checks, else the judge.

        Return "" if there is none.
        """
        if self.right:
            return RIGHT
        if self.checks:
            return STATED
        return JUDGED if judge else ""


class ScoredPair(Struct, frozen=True):
    """The score of the rewritten answer minus the score of the raw answer, from -1 to 1. `by` is the source of the
    scores.
    """

    pair: AnswerPair
    difference: float
    by: str


class OutOfCalls(Exception):
    """The limit on calls or on tokens has been reached."""


class PairScorer:
    """Gets and scores both answers of a pair. Both are requested at temperature 0 and with the same limits.

    `calls` limits the number of model calls. `tokens` limits the tokens that the backend reports; 0 means no limit.
    """

    def __init__(self, completer: Completer, calls: int, judge: str = "", tokens: int = 0) -> None:
        self._completer = completer
        self._judge = judge
        self.left = calls
        self._most_tokens = tokens
        self.tokens = 0

    async def score(self, pair: AnswerPair) -> ScoredPair:
        """Score one pair.

        Raises `RequestError` if a call fails, or `OutOfCalls` if too few calls are left or the limit on tokens is
        reached.
        """
        by = pair.scored_by(self._judge)
        if self.left < (4 if by == JUDGED else 2) or (self._most_tokens and self.tokens >= self._most_tokens):
            raise OutOfCalls
        raw = await self._ask(pair, pair.raw, "raw", pair.sampling)
        rewritten = final(await self._ask(pair, pair.rewritten, "rewritten", pair.sampling), pair.marker)
        return ScoredPair(pair, await self._difference(pair, by, rewritten, raw), by)

    async def judged(self, pair: AnswerPair, first: str, second: str) -> float:
        """Return the judge's score, from -1 (the second answer is better) to 1 (the first answer is better).

        The judge sees the answers in both orders.
        """
        request = "\n\n".join(turn.text for turn in pair.raw)
        forward = await self._ask(pair, question(request, first, second), "judge", JUDGE, self._judge)
        swapped = await self._ask(pair, question(request, second, first), "judge", JUDGE, self._judge)
        return agreed(verdict(forward), verdict(swapped))

    async def _difference(self, pair: AnswerPair, by: str, rewritten: str, raw: str) -> float:
        if rewritten == raw:
            return 0.0
        if by == RIGHT:
            return is_right(rewritten, pair) - is_right(raw, pair)
        if by == STATED:
            return share_passed(rewritten, pair.checks) - share_passed(raw, pair.checks)
        return await self.judged(pair, rewritten, raw)

    async def _ask(
        self, pair: AnswerPair, turns: Sequence[Turn], purpose: str, sampling: Sampling, model: str = ""
    ) -> str:
        self.left -= 1
        ask = Ask(Endpoint.CHAT, pair.target.model, b"", tuple(turns))
        exchange = Exchange(f"gain-{pair.id}", ask, mode=Mode.OFF, route=(pair.target,))
        done = await self._completer.complete(exchange, turns, purpose=purpose, model=model, sampling=sampling)
        self.tokens += max(0, done.call.prompt_tokens) + max(0, done.call.completion_tokens)
        return done.answer.text


def final(answer: str, marker: str) -> str:
    """Return the answer that the client would get, without the reasoning before `marker`."""
    parts = split(answer, marker) if marker else None
    return parts[1] if parts is not None else answer


def is_right(answer: str, pair: AnswerPair) -> float:
    """Return 1 if the answer is right, else 0."""
    return COMPARISONS[pair.compare](answer, pair.right)


def _last_number(answer: str, right: str) -> float:
    numbers = _NUMBER.findall(answer)
    return float(bool(numbers) and _value(numbers[-1]) == _value(right))


def _label(answer: str, right: str) -> float:
    """Return 1 if the answer has the right label and no wrong label, else 0.

    `right` has the right label first, then the wrong labels, separated by `|`.
    """
    label, *others = right.casefold().split("|")
    said = answer.casefold()
    return float(label in said and not any(other in said for other in others))


def _value(number: str) -> float:
    return float(number.replace(",", ""))


COMPARISONS: Mapping[str, Callable[[str, str], float]] = {
    "text": matches,  # equal except for case, outer white space and a full stop
    "number": _last_number,
    "label": _label,
    "contains": lambda answer, right: float(right.casefold() in answer.casefold()),
}


async def scores_of(
    pairs: Iterable[AnswerPair], scorer: PairScorer, tick: Callable[[ScoredPair], None], failed: list[str]
) -> list[ScoredPair]:
    """Score the pairs in order, and leave out those that fail.

    Scoring ends early at the limit on calls, after several failures in a row, or when the task is cancelled. Raises
    `BackendFailed` if pairs failed and no pair has a score.
    """
    scored: list[ScoredPair] = []
    in_a_row = 0
    for pair in pairs:
        try:
            scored.append(await scorer.score(pair))
            in_a_row = 0
        except OutOfCalls:
            break
        except RequestError as error:
            failed.append(error.message)
            in_a_row += 1
            if in_a_row >= GIVE_UP_AFTER:
                break
            continue
        except asyncio.CancelledError:
            break
        tick(scored[-1])
    if failed and not scored:
        raise BackendFailed(failed[-1])
    return scored


def gains_of(scored: Iterable[ScoredPair], now_s: float) -> list[Gain]:
    """Return a row for each combination of template text, language and model.

    The rows have no intervals yet. These are computed when the rows are added to a table.
    """
    groups: dict[GainKey, list[ScoredPair]] = {}
    for one in scored:
        groups.setdefault(one.pair.key, []).append(one)
    return [_gain(key, of_group, now_s) for key, of_group in sorted(groups.items())]


def _gain(key: GainKey, scored: Sequence[ScoredPair], now_s: float) -> Gain:
    differences = [one.difference for one in scored]
    mean, last = fmean(differences), scored[-1].pair
    return Gain(
        *key,
        len(differences),
        round(mean, 4),
        -1.0,
        1.0,
        p=paired(differences, Random(SEED)).p,
        by=", ".join(sorted({one.by for one in scored})),
        template=last.template,
        intent=last.intent,
        spread=round(stdev(differences), 4) if len(differences) > 1 else 0.0,
        measured_s=now_s,
    )
