"""Recognises system prompts without instructions, such as an empty one or `You are a helpful assistant.`"""

import re

_QUALITY = (
    "helpful|friendly|useful|knowledgeable|intelligent|smart|polite|honest|harmless|kind|expert|general[- ]purpose"
    "|ai|a\\.i\\.|artificial intelligence|large|language|chat|virtual|digital"
)
_PATTERNS = (
    rf"you(?: are|'re) (?:an? |the |my )?(?:(?:very |highly )?(?:{_QUALITY})(?:,? and |, ?| ))*"
    r"(?:assistant|chatbot|bot|model|ai)",
    r"(?:an? )?helpful (?:ai )?assistant",
    r"(?:你|您)是(?:一个|一名|一位)?(?:有用的|有帮助的|乐于助人的|友好的|聪明的|智能的?|人工智能|ai|大?语言|聊天|、|和|且)*"
    r"(?:助手|助理|模型|机器人)",
)
_GENERIC = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE)
_LONGEST = 120


def is_generic(text: str) -> bool:
    """Return whether a system prompt sets no task, form, tone or rule that a template could contradict."""
    text = " ".join(text.split()).rstrip(" .!。！")
    return not text or (len(text) <= _LONGEST and _GENERIC.fullmatch(text) is not None)
