"""What the job `discover` finds in recorded traffic, what it must not take for a prompt, and that it can be resumed."""

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, PromptState
from gateway.prompt.found.index import PromptIndex
from gateway.prompt.found.store import change_found, found_path, put, read_found
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from gateway.settings.tables import Settings
from offline_jobs.discover import passes
from offline_jobs.engine.ledger import DONE, Ledger, LedgerJob
from offline_jobs.engine.work import go_on
from tests.doubles.application import DAY_S, SYSTEM, questions, requests, tickets
from tests.doubles.recorded import stored

Run = Callable[..., LedgerJob]
WINDOW = {"since": "2020-01-01", "until": "2040-01-01"}


def found(settings: Settings) -> Sequence[FoundPrompt]:
    return read_found(found_path(settings.data_folder)).prompts


def discover(settings: Settings, run: Run, records: Sequence[ExchangeRecord], **words: object) -> Sequence[FoundPrompt]:
    stored(settings, records)
    job = run("discover", **{**WINDOW, **words})
    assert job.state == DONE, job.reason
    return found(settings)


def test_a_system_message_with_free_user_messages_is_a_prompt(settings: Settings, run: Run) -> None:
    stored(settings, [])
    (prompt,) = discover(settings, run, requests(tickets(30), system=SYSTEM))
    version = prompt.newest
    assert version.system is not None
    assert (version.system.pieces, version.last.pieces) == ((SYSTEM,), ("", ""))
    assert (prompt.use.requests, prompt.use.users, prompt.use.days) == (30, 5, 5)
    assert (prompt.use.prompt_tokens, prompt.use.completion_tokens, prompt.use.models) == (300, 150, {"small": 30})


def test_a_frame_around_passage_and_question_has_them_as_parts(settings: Settings, run: Run) -> None:
    (prompt,) = discover(settings, run, requests(questions(30)))
    last = prompt.newest.last
    assert last.pieces[0] == "Answer from the passage only.\n\n### Passage\n"
    values = last.values(questions(1)[0])
    assert values is not None
    assert last.text(values) == questions(1)[0]


def test_a_number_and_a_name_in_the_system_message_are_parts(settings: Settings, run: Run) -> None:
    names = ("Anna Schmidt", "Bo Li", "Carmen Ruiz", "Dele Okafor")
    records = [
        requests([text], system=f"{SYSTEM} You talk to {names[at % 4]}, who has {at * 17} points.", first=at)[0]
        for at, text in enumerate(tickets(40))
    ]
    records = [replace(one, user=f"u{at % 6}", time_s=one.time_s + at % 4 * DAY_S) for at, one in enumerate(records)]
    (prompt,) = discover(settings, run, records)
    assert prompt.use.requests == 40
    assert [part.type for part in prompt.newest.parts][:2] == ["name", "number"]


def test_an_optional_line_is_no_prompt_of_its_own(settings: Settings, run: Run) -> None:
    with_line = requests(tickets(20), system=f"{SYSTEM}\n\nThe user wants short answers.")
    without = requests(tickets(40), system=SYSTEM, first=100)
    (prompt,) = discover(settings, run, [*with_line, *without])
    assert prompt.use.requests == 60


def test_what_one_person_wrote_on_two_days_is_no_fixed_text(settings: Settings, run: Run) -> None:
    assert discover(settings, run, requests(tickets(30), system=SYSTEM, users=1, days=2)) == ()
    (waiting,) = read_found(found_path(settings.data_folder)).waiting
    assert (waiting.requests, waiting.lacks) == (30, "2 of 3 users or days")


def test_texts_that_wait_are_scrubbed_and_stay_if_another_key_is_mined(settings: Settings, run: Run) -> None:
    mine = f"Write to anna.schmidt@example.org. {SYSTEM}"
    one = requests(tickets(30), system=mine, users=1, days=2, key="one")
    discover(settings, run, [*one, *requests(tickets(30), system=SYSTEM, key="two", first=100)])
    discover(settings, run, [], key="two")
    (waiting,) = read_found(found_path(settings.data_folder)).waiting
    assert waiting.key == "one"
    assert "anna.schmidt" not in waiting.begins


def test_no_secret_of_a_value_is_left_in_the_files_of_the_job(settings: Settings, run: Run, ledger: Ledger) -> None:
    names = ["".join(chr(97 + (at * 7 + place * at) % 26) for place in range(8)) for at in range(30)]
    texts = [f"{name}@{name[::-1]}.org {text}" for name, text in zip(names, tickets(30), strict=True)]
    discover(settings, run, requests(texts, system=SYSTEM))
    files = [file for file in ledger.folder.rglob("*") if file.is_file()]
    assert files
    whole = b"".join(file.read_bytes() for file in files)
    assert [name for name in names if f"{name}@{name[::-1]}.org".encode() in whole] == []


def test_requests_of_an_ignored_prompt_are_not_mined_again(settings: Settings, run: Run) -> None:
    discover(settings, run, requests(tickets(30), system=SYSTEM), until="2027-02-01")
    change_found(
        found_path(settings.data_folder),
        lambda content: put(content, [replace(content.prompts[0], state=PromptState.IGNORED)]),
    )
    texts = [f"A new ticket of today:\n\n{text}\n\nAnswer with its label." for text in tickets(30)]
    later = [replace(one, time_s=one.time_s + 40 * DAY_S) for one in requests(texts, system=SYSTEM, first=100)]
    (prompt,) = discover(settings, run, later, since="2027-02-01")
    assert prompt.state is PromptState.IGNORED
    assert (len(prompt.versions), prompt.use.requests) == (1, 60)


def test_fewer_than_ten_requests_are_no_prompt(settings: Settings, run: Run) -> None:
    assert discover(settings, run, requests(tickets(9), system=SYSTEM)) == ()


def test_free_questions_that_begin_alike_are_no_prompt(settings: Settings, run: Run) -> None:
    topics = (
        "rain",
        "iron",
        "tea",
        "Rome",
        "bees",
        "jazz",
        "salt",
        "wind",
        "glass",
        "maps",
        "yeast",
        "owls",
        "moss",
        "ink",
    )
    assert discover(settings, run, requests([f"What is the history of {topic}?" for topic in topics])) == ()


def test_texts_recorded_as_hashes_are_counted_and_not_read(settings: Settings, run: Run) -> None:
    records = [replace(one, policy="hashed") for one in requests(tickets(30), system=SYSTEM)]
    stored(settings, records)
    job = run("discover", **WINDOW)
    assert found(settings) == ()
    assert '"hashed":30' in job.report


def test_prompts_belong_to_the_key_in_whose_traffic_they_were_found(settings: Settings, run: Run) -> None:
    one = requests(tickets(20), system=SYSTEM, key="one")
    two = requests(tickets(20), system=SYSTEM, key="two", first=100)
    prompts = discover(settings, run, [*one, *two])
    assert sorted(prompt.key for prompt in prompts) == ["one", "two"]
    index = PromptIndex(prompts)
    turns = one[0].turns
    match = index.find("one", "chat/completions", turns)
    assert match is not None
    assert match.prompt.key == "one"
    assert index.find("three", "chat/completions", turns) is None


def test_a_deployed_change_is_the_next_version_with_its_date(settings: Settings, run: Run) -> None:
    before = requests(tickets(30), system=SYSTEM)
    changed = SYSTEM.replace("Add nothing else.", "Add the reason in one sentence.")
    after = [replace(one, time_s=one.time_s + 20 * DAY_S) for one in requests(tickets(30), system=changed, first=100)]
    (prompt,) = discover(settings, run, [*before, *after])
    assert [version.number for version in prompt.versions] == [1, 2]
    assert prompt.newest.system is not None
    assert prompt.newest.system.pieces == (changed,)
    assert prompt.newest.use.first_s == after[0].time_s


def test_a_later_run_counts_only_what_is_new(settings: Settings, run: Run) -> None:
    first = requests(tickets(30), system=SYSTEM)
    discover(settings, run, first, until="2027-02-01")
    id = found(settings)[0].id
    change_found(
        found_path(settings.data_folder),
        lambda content: put(content, [replace(content.prompts[0], name="triage", state=PromptState.ADOPTED)]),
    )
    later = [replace(one, time_s=one.time_s + 40 * DAY_S) for one in requests(tickets(10), system=SYSTEM, first=100)]
    (prompt,) = discover(settings, run, later)
    assert (prompt.id, prompt.name, prompt.state, prompt.use.requests) == (id, "triage", PromptState.ADOPTED, 40)


def test_a_take_back_during_the_job_stays(settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    discover(settings, run, requests(tickets(30), system=SYSTEM), until="2027-02-01")
    file = found_path(settings.data_folder)
    spoken = PromotedVersion(2, 0.5)
    change_found(file, lambda content: put(content, [replace(content.prompts[0], spoken=spoken)]))
    real = passes.collect_systems

    def takes_back(part: object) -> object:
        change_found(file, lambda content: put(content, [replace(content.prompts[0], spoken=None)]))
        return real(part)  # type: ignore[arg-type]

    monkeypatch.setattr(passes, "collect_systems", takes_back)
    run("discover", **WINDOW)
    assert found(settings)[0].spoken is None


def test_a_run_for_one_key_does_not_hide_the_requests_of_others(settings: Settings, run: Run) -> None:
    one = requests(tickets(20), system=SYSTEM, key="one")
    two = requests(tickets(20), system=SYSTEM, key="two", first=100)
    discover(settings, run, [*one, *two])
    more = requests(tickets(10), system=SYSTEM, key="two", first=300)
    later = [replace(each, time_s=each.time_s + 40 * DAY_S) for each in more]
    discover(settings, run, later, key="one")
    run("discover", **WINDOW)
    assert {prompt.key: prompt.use.requests for prompt in found(settings)} == {"one": 20, "two": 30}


def test_feedback_is_counted(settings: Settings, run: Run) -> None:
    records = requests(tickets(20), system=SYSTEM)
    stored(settings, records, [Feedback(records[0].id, score=1.0), Feedback(records[1].id, score=0.0)])
    run("discover", **WINDOW)
    (prompt,) = found(settings)
    assert (prompt.use.scores, prompt.use.score) == (2, 1.0)


def test_examples_of_values_are_scrubbed(settings: Settings, run: Run) -> None:
    texts = [f"{text}, write to anna{at}@bank.example" for at, text in enumerate(tickets(20))]
    (prompt,) = discover(settings, run, requests(texts, system=SYSTEM))
    assert all("@" not in value for part in prompt.newest.parts for value in part.values)


def test_a_killed_job_finds_the_same(
    settings: Settings, run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [*requests(tickets(40), system=SYSTEM), *requests(questions(40), first=100)]
    whole = discover(settings, run, records, portion=9)
    found_path(settings.data_folder).unlink()
    real, calls = passes.collect_messages, [0]

    def dies(part: object) -> int:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return real(part)  # type: ignore[arg-type]

    monkeypatch.setattr(passes, "collect_messages", dies)
    with pytest.raises(KeyboardInterrupt):
        run("discover", **WINDOW, portion=9)
    monkeypatch.setattr(passes, "collect_messages", real)
    job = go_on(settings, ledger, ledger.jobs(1)[0])
    assert job.state == DONE, job.reason
    assert found(settings) == whole


def test_a_history_between_system_message_and_last_message_does_not_count(settings: Settings, run: Run) -> None:
    records = requests(tickets(20), system=SYSTEM)
    talk = (Turn("user", "hello", 1), Turn("assistant", "hi", 2))
    records = [
        replace(one, turns=(one.turns[0], *talk, one.turns[1])) if at % 2 else one for at, one in enumerate(records)
    ]
    (prompt,) = discover(settings, run, records)
    assert prompt.use.requests == 20


def test_applications_whose_prompts_begin_and_end_alike_are_told_apart(settings: Settings, run: Run) -> None:
    rules = ("Name three risks of the plan in it. ", "Write minutes of the meeting in it. ", "Rate how useful it is. ")
    texts = [
        f"# IDENTITY\n\nYou are an expert. Read the input.\n{rule * 12}\n# INPUT\n\n{ticket}"
        for rule in rules
        for ticket in tickets(15)
    ]
    prompts = discover(settings, run, requests(texts))
    assert sorted(prompt.use.requests for prompt in prompts) == [15, 15, 15]


def test_a_document_that_many_requests_quote_is_a_part(settings: Settings, run: Run) -> None:
    documents = [" ".join(f"The {word} of chapter {n} is told at length." for word in WORDS) for n in range(4)]
    texts = [
        f"Answer the question with a word from the text.\nQuestion: {ticket}?\nText: {documents[at % 4]}"
        for at, ticket in enumerate(tickets(60))
    ]
    (prompt,) = discover(settings, run, requests(texts))
    assert prompt.use.requests == 60


WORDS = (
    "story",
    "death",
    "wedding",
    "journey",
    "trial",
    "war",
    "harvest",
    "election",
    "fire",
    "flood",
    "dream",
    "theft",
)
