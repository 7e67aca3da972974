"""The job `learn-contract`: learns from recorded answers what the application's parser may rely on.

Only answers to the application's own text count, and only those that feedback did not find wrong. If feedback gave the
right answer, that answer counts instead. The contract is stored beside the template. A contract that a person has
edited is kept.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.ports import Answer
from gateway.prompt.found.contract import CUT, AnswerContract
from gateway.prompt.found.contract_file import is_edited, read_contract, write_contract
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.store import found_path, one_of, read_found
from gateway.prompt.found.templates import newest_template
from gateway.settings.tables import Settings
from offline_jobs.datasets.judge_records import HALF
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.found.learn import SeenAnswer, contract_of
from offline_jobs.found.traffic import PromptPortion, PromptRequest, is_answered, mapped, requests_of

MOST = 5000
"""The contract is learned from at most this many answers, the newest ones."""
RIGHT = 0.99
LONGEST = 200_000


class LearnContractOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the job."""

    prompt: str
    """The name or the id of the adopted prompt."""
    since: str = "30d"
    """The start of the window: an age such as 7d, or a date."""
    again: bool = False
    """Whether to replace a contract that a person has edited."""


class LearnContractReport(Struct, frozen=True):
    """The result. `verdict` says whether the contract was written, and why not."""

    prompt: str
    verdict: str
    answers: int
    contract: AnswerContract


def run(run: JobRun, options: LearnContractOptions) -> LearnContractReport:
    folder = run.settings.data_folder
    prompt = one_of(read_found(found_path(folder)).prompts, options.prompt)
    newest_template(folder, prompt.id)
    # a broken file is not replaced: a person may have made a mistake while editing it
    before = None if options.again else read_contract(folder, prompt.id)
    if before is not None and is_edited(before):
        return LearnContractReport(prompt.name, "kept: a person has edited it; again=true replaces it", 0, before)
    seen: list[SeenAnswer] = []
    for answers in mapped(run, prompt, options.since, answers_of):
        seen = [*seen, *answers][-MOST:]
    return learned(run.settings, prompt, seen)


def learned(settings: Settings, prompt: FoundPrompt, seen: Sequence[SeenAnswer]) -> LearnContractReport:
    """Learn and store the contract of a prompt. A contract that claims nothing is not stored."""
    fixed = "\n".join(piece for shape in prompt.newest.shapes for piece in shape.pieces)
    contract = contract_of(seen, fixed)
    if contract.is_empty:
        return LearnContractReport(prompt.name, f"nothing is settled by {len(seen)} answers", len(seen), contract)
    write_contract(settings.data_folder, prompt.id, contract)
    return LearnContractReport(prompt.name, "written", len(seen), contract)


def estimate(_settings: Settings, _options: LearnContractOptions) -> Spent:
    """Return an empty estimate, because no model is called."""
    return Spent()


def answers_of(part: PromptPortion) -> list[SeenAnswer]:
    """Return the answers of a portion from which a contract is learned."""
    answers = (_answer(request) for request in requests_of(part))
    return [answer for answer in answers if answer is not None][-MOST:]


def _answer(request: PromptRequest) -> SeenAnswer | None:
    seen = request.seen
    record, answer = seen.record, seen.record.answer
    if not is_answered(seen) or record.changed:
        return None
    asked = "\n".join(request.values)[:2000]
    own = replace(answer, extra={})
    # an answer that was cut off says nothing about the form; the right answer that feedback gives does
    is_cut = answer.finish == CUT or len(answer.text) > LONGEST
    for opinion in reversed(seen.feedback):
        if opinion.answer:
            return SeenAnswer(Answer(opinion.answer), asked, is_given=True)
        if is_cut:
            continue
        if opinion.score is not None:
            if opinion.score < HALF:
                return None
            return SeenAnswer(own, asked, is_confirmed=opinion.score >= RIGHT)
    return None if is_cut else SeenAnswer(own, asked)


JOB = JobKind(
    "learns from recorded answers what an application's parser may rely on", LearnContractOptions, run, estimate
)
