"""Which prompt built a request: exactly, for its key alone, and quickly however alike the prompts are."""

from gateway.ask import Turn
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState, PromptVersion
from gateway.prompt.found.index import PrefixTable, PromptIndex
from gateway.prompt.found.shape import OPEN, TextShape

CHAT = "chat/completions"


def prompt(id: str, last: TextShape = OPEN, system: str | None = None, **fields: object) -> FoundPrompt:
    shape = None if system is None else TextShape((system,))
    return FoundPrompt(id, id, "app", CHAT, (PromptVersion(1, shape, last),), **fields)  # type: ignore[arg-type]


def turns(user: str, system: str = "") -> tuple[Turn, ...]:
    return (*((Turn("system", system),) if system else ()), Turn("user", user))


def name(index: PromptIndex, asked: tuple[Turn, ...], key: str = "app") -> str:
    match = index.find(key, CHAT, asked)
    return match.prompt.id if match else ""


def test_all_beginnings_of_a_text_come_longest_first() -> None:
    table = PrefixTable({start: start for start in ("", "a", "ab", "abc", "abd", "b", "abcde")})
    assert list(table.of("abcdx")) == ["abc", "ab", "a", ""]
    assert list(table.of("abce")) == ["abc", "ab", "a", ""]
    assert list(table.of("c")) == [""]


def test_the_prompt_with_the_most_fixed_text_is_the_one() -> None:
    wide = prompt("wide", TextShape(("Summarise: ", "")))
    narrow = prompt("narrow", TextShape(("Summarise: ", "\nIn one sentence.")))
    index = PromptIndex([wide, narrow])
    assert name(index, turns("Summarise: a\nIn one sentence.")) == "narrow"
    assert name(index, turns("Summarise: a\nIn two sentences.")) == "wide"
    assert name(index, turns("summarise: a")) == ""


def test_a_system_message_must_be_equal() -> None:
    index = PromptIndex([prompt("triage", system="You sort tickets.")])
    assert name(index, turns("x", "You sort tickets.")) == "triage"
    assert name(index, turns("x", "You sort tickets. ")) == ""
    assert name(index, turns("x")) == ""


def test_a_prompt_without_system_message_is_not_recognised_below_one() -> None:
    index = PromptIndex([prompt("summary", TextShape(("Summarise: ", "")))])
    assert name(index, turns("Summarise: a")) == "summary"
    assert name(index, turns("Summarise: a", "Be brief.")) == ""


def test_no_other_key_and_no_other_endpoint() -> None:
    index = PromptIndex([prompt("triage", system="You sort tickets.")])
    asked = turns("x", "You sort tickets.")
    assert name(index, asked, key="other") == ""
    assert index.find("app", "responses", asked) is None


def test_an_ignored_prompt_is_not_recognised() -> None:
    index = PromptIndex([prompt("triage", system="You sort tickets.", state=PromptState.IGNORED)])
    assert name(index, turns("x", "You sort tickets.")) == ""


def test_the_last_user_message_is_read_whatever_stands_between() -> None:
    index = PromptIndex([prompt("chat", TextShape(("Question: ", "")), "Be kind.")])
    talk = (Turn("system", "Be kind."), Turn("user", "hi"), Turn("assistant", "hello"), Turn("user", "Question: a"))
    assert name(index, talk) == "chat"
    assert name(index, (*talk, Turn("assistant", "calls a tool", plain=False), Turn("tool", "42"))) == "chat"


def test_a_message_that_is_not_plain_text_is_not_recognised() -> None:
    index = PromptIndex([prompt("chat", system="Be kind.")])
    assert name(index, (Turn("system", "Be kind."), Turn("user", "", plain=False))) == ""


def test_a_thousand_prompts_with_the_same_beginning_are_told_apart() -> None:
    prompts = [prompt(f"p{n}", TextShape((f"Read the text and answer. Case {n}: ", f" End {n}."))) for n in range(1000)]
    index = PromptIndex(prompts)
    assert index.left_out == 0
    assert name(index, turns("Read the text and answer. Case 77: x End 77.")) == "p77"
    assert name(index, turns("Read the text and answer. Case 77: x End 78.")) == ""
