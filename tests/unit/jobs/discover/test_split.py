"""When the values of a part show that texts are several prompts, or several versions of one."""

from collections.abc import Callable

import pytest

from gateway.prompt.found.shape import TextShape
from offline_jobs.discover.sample import SampleText
from offline_jobs.discover.split import separated

ADDED = "- Name the source of each claim that you make in your answer.\n"
FRAME = ("Today is ", "Read the ticket and name its topic.\n\n# INPUT\n\n", "")
DAY_S = 86_400.0


def samples(texts: list[str], first_s: float = 0.0) -> list[SampleText]:
    return [SampleText(text, 1, first_s + at, first_s + at, [at % 5], [at % 3]) for at, text in enumerate(texts)]


def texts(value: Callable[[int], str], count: int = 30) -> list[str]:
    return [TextShape(FRAME).text((value(at), f"case {at}")) for at in range(count)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (lambda at: f"2026-11-{at % 7 + 1:02d}.\n", lambda at: f"2026-11-{at % 7 + 8:02d}.\n{ADDED}"),
        (lambda at: f"{ADDED}The user is u{at}.\n", lambda at: f"a good day for work, the user is u{at}.\n"),
    ],
    ids=["beside a date", "before a name"],
)
def test_values_that_change_on_one_day_are_versions(before: Callable[[int], str], after: Callable[[int], str]) -> None:
    old, new = samples(texts(before)), samples(texts(after), DAY_S)
    assert separated(TextShape(FRAME), [*old, *new]) == [old, new]


def test_values_that_are_used_at_the_same_time_are_no_versions() -> None:
    members = samples(texts(lambda at: f"2026-11-{at % 7 + 1:02d}.\n" + ADDED * (at % 2)))
    assert separated(TextShape(FRAME), members) == [members]


ALIKE = TextShape(("# ROLE\n\nYou ", "\n\n# INPUT\n\n", ""))
RULES = [
    f"{verb} each ticket that you are given, and name its topic, its language and its author. " * 4
    for verb in ("sort", "shorten", "translate")
]
PROMPTS = [rule for rule, count in zip(RULES, (12, 6, 4), strict=True) for _ in range(count)]
LEAD = TextShape(("Answer from this passage.\n\n", "\n\nThe question is about ", ""))


@pytest.mark.parametrize("in_system", [True, False])
def test_applications_with_few_requests_do_not_become_one_prompt(in_system: bool) -> None:
    members = samples([ALIKE.text((rule, f"case {at}")) for at, rule in enumerate(PROMPTS)])
    groups = separated(ALIKE, members, in_system=in_system)
    assert groups == [members[:12], members[12:18], members[18:]]


def test_a_system_message_of_another_application_is_left_out() -> None:
    members = samples([ALIKE.text((rule, f"case {at}")) for at, rule in enumerate([*PROMPTS[:12], RULES[1]])])
    assert separated(ALIKE, members, in_system=True) == [members[:12]]


def test_documents_that_users_quote_several_times_are_one_prompt() -> None:
    members = samples([LEAD.text((text, f"case {at}")) for at, text in enumerate(PROMPTS)])
    assert separated(LEAD, members) == [members]


ASKED = TextShape(("", "\nAccording to the text above, ", "answer the question.\n", "\n"))
OPTIONS = "Options:\n- It is a {}.\n- It is none.\n- It is both."


def asked(*versions: tuple[str, str]) -> list[SampleText]:
    """Requests that use the versions, an instruction and a section, in turn."""
    cases = [(at, *versions[at % len(versions)]) for at in range(24)]
    return samples(
        [
            ASKED.text((f"Case {at} is new.", choice, f"What is case {at}?\n{section.format(at)}"))
            for at, choice, section in cases
        ]
    )


def test_an_instruction_that_goes_with_a_list_of_options_is_another_prompt() -> None:
    members = asked(("", ""), ("choose the best option to ", OPTIONS))
    assert separated(ASKED, members) == [members[::2], members[1::2]]


@pytest.mark.parametrize("other", [("", OPTIONS), ("in one short sentence, ", "")], ids=["section", "instruction"])
def test_an_optional_section_or_instruction_alone_is_a_part(other: tuple[str, str]) -> None:
    members = asked(("", ""), other)
    assert separated(ASKED, members) == [members]
