"""What is done with the answers: votes, rounds, budgets. The model is a list of what it says."""

import asyncio
from collections.abc import Sequence

from gateway.ask import Ask, Endpoint, Turn
from gateway.errors import BackendFailed, TemplateError
from gateway.exchange import ChosenAnswer, Drawn, Exchange
from gateway.prompt.answers.technique import TechniqueRun, technique_of
from tests.doubles.templates import template

EX = Exchange("ex-1", Ask(Endpoint.CHAT, "small", b"{}", (Turn("user", "how many?", 0),)))
RETRY = "# user\n{{ query }}\n# retry\nWrong:\n{{ failures | bullets }}\nAgain."


class Says:
    """An `Asking` whose model says these, in order; a failure is raised."""

    def __init__(self, *answers: str | Exception, judge: Sequence[str] = (), tokens: int = 10) -> None:
        self.answers, self.judged, self.tokens = list(answers), list(judge), tokens
        self.asked: list[tuple[str, tuple[Turn, ...]]] = []
        self.questions: list[str] = []

    async def draw(self, purpose: str, follow: Sequence[Turn] = (), temperature: float | None = None) -> Drawn:
        number = len(self.asked)
        self.asked.append((purpose, tuple(follow)))
        said = self.answers[number]
        if isinstance(said, Exception):
            raise said
        return Drawn(number, said, self.tokens)

    async def judge(self, turns: Sequence[Turn], model: str = "") -> Drawn:
        self.questions.append(turns[-1].text)
        return Drawn(-1, self.judged.pop(0), self.tokens)


def technique(head: str, body: str = "# user\n{{ query }}\n") -> TechniqueRun:
    made = technique_of(template(body, more=head), {"query": "how many?"})
    assert made is not None
    return made


def settle(made: TechniqueRun, says: Says, *, greedy: bool = False) -> ChosenAnswer:
    ask = Ask(Endpoint.CHAT, "small", b"{}", EX.ask.turns, greedy=greedy)
    return asyncio.run(made.settle(Exchange("ex-1", ask), says))


def test_the_majoritys_first_answer_is_chosen() -> None:
    made = technique('samples: {n: 3}\nreasoning: {marker: "Answer:"}\n')
    says = Says("Answer: 7", "well\nAnswer: 8", "Answer: 8.")
    settled = settle(made, says)
    assert settled.number == 1
    assert [purpose for purpose, _ in says.asked] == ["sample", "sample", "sample"]
    assert settled.notes[0].reason == "2 of 3 agree"


def test_a_client_at_temperature_0_is_asked_for_once() -> None:
    says = Says("Answer: 7")
    settled = settle(technique("samples: 5\n"), says, greedy=True)
    assert (settled.number, len(says.asked)) == (0, 1)
    assert "temperature of 0" in settled.notes[0].reason


def test_samples_that_fail_are_left_out() -> None:
    settled = settle(technique("samples: 3\n"), Says(BackendFailed("down"), "eight", "Eight."))
    assert settled.number == 1


def test_a_failure_is_fed_back_until_the_checks_hold() -> None:
    made = technique("checks: [{contains: seven}]\niterate: {rounds: 3}\n", RETRY)
    says = Says("eight", "nine", "seven", "never asked")
    settled = settle(made, says)
    assert settled.number == 2
    assert says.asked[1] == (
        "retry",
        (Turn("assistant", "eight"), Turn("user", "Wrong:\n- It does not contain 'seven'\nAgain.")),
    )
    assert (settled.notes[0].decision, settled.notes[0].data["rounds"]) == ("passed", 2)


def test_the_best_answer_is_kept_when_none_passes() -> None:
    made = technique("checks: [{contains: a}, {contains: b}]\niterate: {rounds: 2}\n", RETRY)
    settled = settle(made, Says("x", "a", "y"))
    assert (settled.number, settled.notes[0].reason) == (1, "1 of its checks fail")


def test_a_worse_round_does_not_replace_a_better_answer() -> None:
    made = technique("checks: [{contains: a}, {contains: b}]\niterate: {rounds: 1}\n", RETRY)
    assert settle(made, Says("a", "x")).number == 0


def test_no_round_begins_once_the_tokens_are_spent() -> None:
    made = technique("checks: [{contains: z}]\niterate: {rounds: 5, budget_tokens: 25}\n", RETRY)
    says = Says("a", "b", "c", "d", tokens=10)
    settled = settle(made, says)
    assert len(says.asked) == 3
    assert settled.notes[0].reason == "its 25 tokens are spent"


def test_a_round_that_cannot_be_had_leaves_the_answer_that_there_is() -> None:
    made = technique("checks: [{contains: z}]\niterate: {rounds: 2}\n", RETRY)
    settled = settle(made, Says("a", BackendFailed("down")))
    assert settled.number == 0
    assert "down" in settled.notes[0].reason


def test_a_judge_is_asked_only_when_all_else_holds() -> None:
    head = 'checks: [{contains: a}, {judge: "Is {{ answer }} polite?"}]\niterate: {rounds: 2}\n'
    says = Says("x", "a rude one", "a kind one", judge=["No, it shouts.", "Yes."])
    settled = settle(technique(head, RETRY), says)
    assert settled.number == 2
    assert says.questions == ["Is a rude one polite?", "Is a kind one polite?"]
    assert "No, it shouts." in says.asked[2][1][1].text


def test_a_template_with_neither_needs_no_procedure() -> None:
    assert technique_of(template(more="checks: [{contains: a}]\n"), {}) is None


def test_heads_that_make_no_sense_are_refused_with_their_place() -> None:
    wrong = {
        "samples: 1\n": "between 2 and 16",
        "samples: {n: 3, temperature: 0}\n": "all samples are the same",
        "reasoning: {mode: split}\n": "marker",
        "iterate: {rounds: 2}\n": "nothing to iterate on",
        "checks: [{passes: ja}]\n": "a check demands something",
        "checks: [{json_schema: '{'}]\n": "JSON text",
        "calls: {facts: {}}\n": "# call facts",
        "checks: [{judge: '{{ nobody }}'}]\n": "nobody",
    }
    for head, said in wrong.items():
        try:
            template(more=head)
        except TemplateError as error:
            assert said in str(error), head
            assert error.line > 1, head
        else:
            raise AssertionError(f"{head!r} was accepted")


def test_a_judge_counts_against_the_tokens() -> None:
    head = 'checks: [{judge: "Is {{ answer }} polite?"}]\niterate: {rounds: 5, budget_tokens: 35}\n'
    says = Says("a", "b", "c", judge=["No.", "No.", "No."], tokens=10)
    assert settle(technique(head, RETRY), says).notes[0].reason == "its 35 tokens are spent"
    assert len(says.asked) == 2


def test_a_judge_that_says_yesterday_has_not_said_yes() -> None:
    head = 'checks: [{judge: "Is {{ answer }} polite?"}]\niterate: {rounds: 1}\n'
    says = Says("a", "b", judge=["Yesterday it was.", "Yes!"])
    assert settle(technique(head, RETRY), says).number == 1


def test_a_question_to_the_judge_that_gets_too_long_is_not_asked() -> None:
    head = 'checks: [{judge: "Is {{ answer }} polite?"}]\niterate: {rounds: 1}\n'
    assert settle(technique(head, RETRY), Says("x" * 500_000)).notes[0].decision == "passed"
