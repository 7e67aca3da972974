"""Converts texts to tokens and back. A user's text never becomes a control token.

A random mark replaces each control token in the text of a message. Then the model's chat template renders the
conversation. When the rendered text is cut into tokens, the characters of the control token replace its mark, and are
tokenized as plain text. Everything else is tokenized as in transformers.
"""

import logging
import re
import secrets
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from gateway.backends.local.chat_template import CannotChange, without_default_system
from gateway.errors import BadRequest
from gateway.wire.engine.pieces import EngineMessage

log = logging.getLogger("foreword.torch")


class Tokens:
    """The tokenizer and the chat template of one model. Several threads may use it."""

    def __init__(self, tokenizer: Any, *, chat_template: str = "", default_system: bool = False) -> None:
        self._whole = tokenizer
        self._real: Tokenizer = tokenizer.backend_tokenizer
        # a second tokenizer, since switching the mode of one is not thread-safe
        self._plain: Tokenizer = Tokenizer.from_str(self._real.to_str())
        self._plain.encode_special_tokens = True
        self._template = _template(tokenizer, chat_template, default_system)
        controls = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._controls = re.compile("|".join(map(re.escape, sorted(controls, key=len, reverse=True))) or r"(?!)")
        self.ends = frozenset([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])
        self.size = self._real.get_vocab_size()

    def count(self, text: str) -> int:
        return len(self._plain.encode(text, add_special_tokens=False).ids)

    def prompt(self, text: str) -> list[int]:
        """Return the tokens of a raw prompt, in which control tokens are parsed."""
        return list(self._real.encode(text).ids)

    def foreign(self, text: str) -> list[int]:
        """Return the tokens of a text that is put before the client's raw prompt. Control tokens in this text become
        plain text.
        """
        return list(self._plain.encode(text).ids)

    def chat(self, messages: Sequence[EngineMessage]) -> list[int]:
        return self.around(messages, "")[1]

    def around(self, messages: Sequence[EngineMessage], cut: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a conversation before and after the text `cut`. If `cut` is "", the first part is
        empty.
        """
        marks = _ControlMarks(self._controls)
        shown = [{"role": message.role, "content": marks.hidden(message.content)} for message in messages]
        try:
            text = self._whole.apply_chat_template(
                shown, chat_template=self._template, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # an error of jinja2, or one that the chat template raises
            raise BadRequest(
                f"The model's chat template refuses this conversation: {error}", param="messages"
            ) from error
        head, _, tail = text.rpartition(cut) if cut else ("", "", text)
        return self._ids(head, marks), self._ids(tail, marks)

    def _ids(self, text: str, marks: "_ControlMarks") -> list[int]:
        ids: list[int] = []
        for piece, literal in marks.pieces(text):
            ids += self._real.encode(piece, add_special_tokens=False).ids if piece else []
            ids += self._plain.encode(literal, add_special_tokens=False).ids if literal else []
        return ids

    def text(self, token: int) -> str:
        return str(self._real.decode([token], skip_special_tokens=False))

    def stream(self) -> "TextStream":
        return TextStream(self._real)


class TextStream:
    """Converts tokens to text, one at a time. An incomplete character is held back until its remaining bytes arrive."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def add(self, token: int) -> str:
        return self._stream.step(self._tokenizer, token) or ""


class _ControlMarks:
    """Replaces control tokens in texts by marks. The marks have a random name, which is used for one conversation."""

    def __init__(self, controls: re.Pattern[str]) -> None:
        self._controls = controls
        self._name = secrets.token_hex(8)
        self._hidden: list[str] = []

    def hidden(self, text: str) -> str:
        return self._controls.sub(self._hide, text)

    def pieces(self, text: str) -> list[tuple[str, str]]:
        """Split a text at its marks. Returns pairs of the plain text before a mark and the control token that the mark
        replaces. The last pair has the text after the last mark, and "".
        """
        parts = re.split(rf"\[{self._name}:(\d+)\]", text)
        literals = [self._hidden[int(number)] for number in parts[1::2]] + [""]
        return list(zip(parts[::2], literals, strict=True))

    def _hide(self, match: re.Match[str]) -> str:
        self._hidden.append(match[0])
        return f"[{self._name}:{len(self._hidden) - 1}]"


def _template(tokenizer: Any, given: str, default_system: bool) -> str:
    template = given or tokenizer.chat_template or ""
    if given or default_system or not template:
        return str(template)
    try:
        return without_default_system(template, bos=tokenizer.bos_token or "", eos=tokenizer.eos_token or "")
    except CannotChange as reason:
        log.warning("the model keeps its default system prompt: %s", reason)
        return str(template)
