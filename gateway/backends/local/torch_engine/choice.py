"""Generates one choice of an answer: receives tokens and sends pieces in OpenAI's form, until the choice ends."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.wire.engine.pieces import ChosenToken, EnginePiece, EngineRequest, Likely, TokenUsage

Say = Callable[[EnginePiece], bool]
"""Passes a piece on, and returns True if the client is gone."""


class RunningChoice:
    def __init__(
        self, index: int, tokens: Tokens, request: EngineRequest, prompt_tokens: int, room: int, say: Say
    ) -> None:
        """`room` is the number of tokens that still fit in the window."""
        self.index = index
        self.over = False
        self.written = 0
        self.length = 0
        """The length of the answer in characters, including text that is not sent yet."""
        self._tokens, self._stop, self._top = tokens, request.stop, request.top_logprobs
        self._most = min(request.max_tokens, room)
        self._prompt = prompt_tokens
        self._say = say
        self._stream = tokens.stream()
        self._held = ""
        self._spoken: list[ChosenToken] = []
        self._first = True

    def add(self, token: int, logprobs: Tensor, heard: Callable[[], None] = lambda: None) -> None:
        """Add a token that was chosen from `logprobs` [vocab]. Sets `over` if the choice has ended.

        Calls `heard` after `length` is updated and before a piece is sent.
        """
        self.written += 1
        if token in self._tokens.ends:
            heard()
            self._end("stop")
            return
        text = self._stream.add(token)
        self._held += text
        self.length += len(text)
        at = first_stop(self._held, self._stop)
        if at >= 0:
            self.length -= len(self._held) - at
            self._held = self._held[:at]
        heard()
        if self._top is not None:
            self._spoken.append(self._entry(token, logprobs, self._top))
        if at >= 0:
            self._end("stop")
        elif self.written >= self._most:
            self._end("length")
        else:
            self._speak()

    def _speak(self) -> None:
        """Send the text up to the point where a stop text may begin."""
        free = len(self._held) - longest_start(self._held, self._stop)
        if not free and not self._first:
            return
        text, self._held = self._held[:free], self._held[free:]
        self._send(EnginePiece(self.index, text, self._spoken, first=self._first))

    def _end(self, finish: str) -> None:
        self.over = True
        if self._held or self._first:
            self._send(EnginePiece(self.index, self._held, self._spoken, first=self._first))
        usage = TokenUsage(self._prompt, self.written)
        self._send(EnginePiece(self.index, finish=finish, usage=usage))

    def _send(self, piece: EnginePiece) -> None:
        self._first, self._spoken = False, []
        if self._say(piece):
            self.over = True

    def _entry(self, token: int, logprobs: Tensor, top: int) -> ChosenToken:
        best = torch.topk(logprobs, max(top, 1))
        likely = [
            self._likely(int(number), float(value)) for value, number in zip(best.values, best.indices, strict=True)
        ]
        chosen = self._likely(token, float(logprobs[token]))
        return ChosenToken(chosen.token, chosen.logprob, chosen.bytes, likely[:top])

    def _likely(self, token: int, logprob: float) -> Likely:
        text = self._tokens.text(token)
        return Likely(text, max(logprob, -9999.0), list(text.encode()))


def first_stop(text: str, stops: Sequence[str]) -> int:
    """Return the position of the first stop text, or -1."""
    return min((at for stop in stops if stop and (at := text.find(stop)) >= 0), default=-1)


def longest_start(text: str, stops: Sequence[str]) -> int:
    """Return the number of characters at the end of `text` that may be the start of a stop text."""
    return max(
        (size for stop in stops for size in range(1, min(len(stop), len(text) + 1)) if text.endswith(stop[:size])),
        default=0,
    )
