"""Decides by rules, without a model, whether the prompt of a request may be changed at all."""

import re

from gateway.ask import Ask, Mode
from gateway.exchange import Exchange
from gateway.prompt.generic_system import is_generic
from gateway.prompt.language.literals import fences

LONGEST = 6000  # characters; a longer prompt has enough details
LONGEST_CODE = 3000  # characters; a longer prompt with code is about a program

# signs of a carefully built prompt, by a person, a program or a template
_CHAT_MARKUP = re.compile(r"<\|[a-z_]+\|>|\[/?INST\]|<<SYS>>|^### (?:Instruction|Response):", re.M)
_CHAT_NEEDS = ("<|", "INST]", "<<SYS>>", "### ")
_SECTION_WORDS = (
    "role|task|goal|instructions?|context|background|input|output(?: format)?|format|examples?|constraints?|rules"
    "|requirements?|steps|角色|任务|目标|背景|上下文|指令|要求|输入|输出|输出格式|格式|示例|例子|约束|限制|规则|步骤"
)
_SECTION = re.compile(
    rf"^[ \t]*(?:#{{1,4}}[ \t]*|\*\*|【|<)({_SECTION_WORDS})(?:\*\*|】|>|[ \t]*[:：]|[ \t]*$)", re.M | re.I
)
_SHOT = re.compile(
    r"^[ \t]*(?:output|answer|label|category|intent|a|输出|答案|标签|类别|回答)[ \t]*[:：][ \t]*\S", re.M | re.I
)


def why_untouchable(exchange: Exchange) -> str:
    """Return why the prompt must not be changed, or "" if it may be rewritten.

    If an earlier stage has put a reason on the exchange, this reason is returned.
    """
    if exchange.untouchable is not None:
        return exchange.untouchable
    if exchange.mode is Mode.OFF:
        return "mode is off"
    ask = exchange.ask
    return _form(ask) or _turns(ask) or _text(ask.query, named=bool(ask.controls.template))


def _form(ask: Ask) -> str:
    """Return why the form of the request, such as its tools, forbids a rewrite, or ""."""
    if not ask.endpoint.takes_messages:
        return f"{ask.endpoint.value} requests are passed on as they are"
    if ask.named is not None:
        return "the request names its prompt"
    if ask.kept_elsewhere:
        return "part of the conversation is kept by the backend"
    if ask.has_tools:
        return "the request has tools"
    if ask.has_format:
        return "the request demands a response format"
    return ""


def _turns(ask: Ask) -> str:
    """Return why the messages forbid a rewrite, or "".

    A rewrite needs a single plain user message, perhaps after a generic system prompt. A request that names its
    template may have any system prompt.
    """
    if not ask.turns:
        return "there are no messages"
    *before, last = ask.turns
    if not last.plain or not all([turn.plain for turn in before]):
        return "a message is more than plain text"
    if last.role != "user":
        return "the last message is not the user's"
    others = [turn.role for turn in before]
    if not {"system", "developer"}.issuperset(others):
        return "the conversation is past its first turn"
    if not ask.controls.template and not all([is_generic(turn.text) for turn in before]):
        return "the caller has a system prompt of its own"
    return ""


def _text(query: str, *, named: bool) -> str:
    if not query.strip():
        return "the message is empty"
    if named:
        return ""
    if len(query) > LONGEST:
        return f"the message is longer than {LONGEST} characters"
    if query.count("```") >= 2 and sum(fence.end - fence.start for fence in fences(query)) > LONGEST_CODE:
        return f"more than {LONGEST_CODE} characters of the message are code"
    if is_built(query):
        return "the message is a built prompt already"
    return ""


def is_built(text: str) -> bool:
    """Return whether the text looks like a prompt template: chat markup, named sections, or worked examples."""
    if any(map(text.__contains__, _CHAT_NEEDS)) and _CHAT_MARKUP.search(text):
        return True
    if "\n" not in text:
        return False  # the signs are two sections or two examples, each on its own line
    sections = {match.group(1).lower() for match in _SECTION.finditer(text)}
    return len(sections) >= 2 or len(_SHOT.findall(text)) >= 2
