"""Three English and two Chinese intents with seeds. A classifier trains on them in a moment."""

from gateway.prompt.classifier.lessons import Seeds
from gateway.prompt.library.library import Library, build_library
from gateway.prompt.templates.parse import parse

HEAD = """---
schema: 1
id: {intent}.{language}
version: 1
status: active
language: {language}
intent:
  name: {intent}
  match: {match}
  not: {near}
  keywords: {keywords}
slots:
  thing: {{from: query, required: true}}
{more}---
# user
{{{{ thing }}}}
"""

THINGS = ["the broken lift", "my late order", "our summer party", "a new printer", "the school trip", "the tax form"]
THINGS_ZH = ["坏了的电梯", "迟到的订单", "夏天的聚会", "新打印机", "学校旅行", "报税表"]
WORDS = {
    "write-email": ("write an email about {}", "draft a mail on {} for my boss", "compose an e-mail concerning {}"),
    "translate": ("translate into French: {}", "how do you say {} in German", "put into Spanish: {}"),
    "sort-ticket": ("Which desk handles this ticket: {}", 'ticket: "{}" which desk?', "desk for the ticket: {}"),
}
WORDS_ZH = {
    "write-email": ("写一封关于{}的邮件", "帮我起草邮件，说说{}"),
    "translate": ("翻译成英文：{}", "{}用法语怎么说"),
}
UNKNOWN = [
    f"{ask} {what}" for ask in ("play", "where is", "remind me of") for what in ("jazz", "my phone", "lunch", "it")
]
UNKNOWN_ZH = [f"{ask}{what}" for ask in ("播放", "在哪里买", "提醒我") for what in ("音乐", "手机", "午饭", "门票")]


def library(**changes: str) -> Library:
    """Make the library. `changes` replaces an intent's match list, given as YAML."""
    made = []
    for language, words, things in (("en", WORDS, THINGS), ("zh", WORDS_ZH, THINGS_ZH)):
        for intent, wordings in words.items():
            match = [wording.format(thing) for wording in wordings for thing in things]
            near = ["translate this email"] if (intent, language) == ("write-email", "en") else []
            pool = "examples: {pool: tickets.jsonl, k: 2}\n" if intent == "sort-ticket" else ""
            source = HEAD.format(
                intent=intent,
                language=language,
                match=changes.get(intent, repr(match)),
                near=repr(near),
                keywords="[email, 邮件]" if intent == "write-email" else "[]",
                more=pool,
            )
            made.append(parse(source, f"{intent}.{language}.prompt.md"))
    return build_library(made, [])


def seeds() -> Seeds:
    raw = [f"tell me about {thing}" for thing in THINGS] + [f"说说{thing}" for thing in THINGS_ZH]
    put = [f"Please describe {thing} in exactly 3 sentences, including its cost." for thing in THINGS]
    put += [f"请用三句话介绍{thing}，必须包括价格，不超过50字。" for thing in THINGS_ZH]
    unknown = [(text, "en") for text in UNKNOWN] + [(text, "zh") for text in UNKNOWN_ZH]
    pairs = tuple(zip(raw, put, strict=True))
    return Seeds(tuple((text, True) for text in raw) + tuple((text, False) for text in put), pairs, tuple(unknown))
