import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Mode, Turn
from gateway.exchange import Exchange
from gateway.prompt.eligible import LONGEST, LONGEST_CODE, is_built, why_untouchable


def asked(*turns: Turn, **changes: object) -> Exchange:
    return Exchange("x", replace(Ask(Endpoint.CHAT, "m", b"{}", turns), **changes))


USER = Turn("user", "write a poem about the sea")
SYSTEM = Turn("system", "You are a pirate.")
NAMED = Controls(template="write-poem.en")


def test_one_plain_user_message_may_be_touched() -> None:
    assert why_untouchable(asked(USER)) == ""


@pytest.mark.parametrize(
    ("exchange", "reason"),
    [
        (asked(USER, has_tools=True), "the request has tools"),
        (asked(USER, has_format=True), "the request demands a response format"),
        (asked(USER, endpoint=Endpoint.COMPLETION), "completions requests are passed on as they are"),
        (asked(), "there are no messages"),
        (asked(Turn("user", "", plain=False)), "a message is more than plain text"),
        (asked(USER, Turn("assistant", "Sure")), "the last message is not the user's"),
        (asked(USER, Turn("assistant", "Sure"), USER), "the conversation is past its first turn"),
        (asked(USER, USER), "the conversation is past its first turn"),
        (asked(SYSTEM, USER), "the caller has a system prompt of its own"),
        (asked(Turn("user", " \n")), "the message is empty"),
        (asked(Turn("user", "x" * (LONGEST + 1))), f"the message is longer than {LONGEST} characters"),
        (
            asked(Turn("user", f"fix it\n```\n{'x = 1;' * 600}\n```")),
            f"more than {LONGEST_CODE} characters of the message are code",
        ),
        (asked(Turn("user", "# Role\nYou are a cook.\n# Task\nCook.")), "the message is a built prompt already"),
    ],
)
def test_everything_else_stays_as_it_is(exchange: Exchange, reason: str) -> None:
    assert why_untouchable(exchange) == reason


def test_off_means_off() -> None:
    assert why_untouchable(replace(asked(USER), mode=Mode.OFF)) == "mode is off"


def test_a_request_that_names_its_template_may_have_a_system_prompt() -> None:
    assert why_untouchable(asked(SYSTEM, USER, controls=NAMED)) == ""
    assert why_untouchable(asked(SYSTEM, USER, controls=NAMED, has_tools=True)) == "the request has tools"
    assert why_untouchable(asked(USER, Turn("assistant", "Sure"), USER, controls=NAMED)) != ""


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nhello<|im_end|>",
        "[INST] hello [/INST]",
        "Text: good film\nLabel: positive\nText: dull\nLabel: negative\nText: fine\nLabel:",
        "<instructions>Be brief.</instructions>\n<context>\nnothing\n</context>",
        "## Instructions\nSummarise.\n## Output format\nJSON",
        "【角色】你是一位律师\n【任务】审阅合同",
    ],
)
def test_a_built_prompt_is_recognised(text: str) -> None:
    assert is_built(text)


@pytest.mark.parametrize(
    "text",
    [
        "Fix this:\n```python\nprint('a'\n```",
        "Summarise:\n# Report\n## Results\nGood.",
        "what does <div><span>x</span></div> do",
        "Classify: good film\nLabel:",
        "answer: is 7 prime?",
    ],
)
def test_plain_prompts_and_pasted_documents_are_not_built(text: str) -> None:
    assert not is_built(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "You are a helpful assistant.",
        "you are a helpful, friendly AI assistant",
        "You are a helpful and knowledgeable assistant!",
        "You're an AI language model.",
        "你是一个有用的助手。",
        "您是乐于助人的智能助手",
    ],
)
@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_prompt_that_says_nothing_is_no_reason_to_leave_a_request_alone(role: str, text: str) -> None:
    assert why_untouchable(asked(Turn(role, text), USER)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "You are a helpful assistant. Answer in JSON.",
        "You are a helpful assistant who never mentions prices.",
        "You are a helpful pirate.",
        "You are a helpful assistant for the customers of Harbour Bank.",
        "Be brief.",
        "你是一个只用英文回答的助手。",
    ],
)
def test_a_system_prompt_with_a_wish_of_its_own_is_one(text: str) -> None:
    assert why_untouchable(asked(Turn("system", text), USER)) == "the caller has a system prompt of its own"
