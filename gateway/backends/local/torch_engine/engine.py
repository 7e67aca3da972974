"""The loaded torch engine. It answers an `EngineRequest` with pieces."""

import secrets
import time
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Endpoint, Nbce
from gateway.backends.local.generation import Call, Callback
from gateway.backends.local.torch_engine.answer import answer
from gateway.backends.local.torch_engine.choice import Say
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.load import load
from gateway.backends.local.torch_engine.positions import Positions
from gateway.backends.local.torch_engine.prefixes import Prefixes
from gateway.backends.local.torch_engine.stepper import Stepper
from gateway.backends.local.torch_engine.windows import Windows, WindowsReport
from gateway.backends.local.torch_engine.windows import answer as mixed_answer
from gateway.errors import BadRequest
from gateway.wire.engine.pieces import EngineMessage, EnginePiece, EngineRequest, encoded, read_request

BETWEEN = "\n\n"
"""The separator between a passage and the question."""


class TorchOptions(Struct, frozen=True):
    """The options for loading a model; `TorchSettings` describes them."""

    keep: Path
    positions: Positions
    threads: int = 1
    dtype: str = "auto"
    chat_template: str = ""
    default_system: bool = False
    passages_bytes: int = 0
    rows_bytes: int = 0
    int8_cache: bool = False


class TorchEngine:
    """A loaded model. Implements `serve.LoadedEngine`. The constructor blocks while the model loads."""

    def __init__(self, path: Path, options: TorchOptions) -> None:
        self.model, tokenizer = load(path, options.keep, options.dtype, int8_cache=options.int8_cache)
        self.tokens = Tokens(tokenizer, chat_template=options.chat_template, default_system=options.default_system)
        self.positions = options.positions
        self.stepper = Stepper(self.model, options.threads)
        self._prefixes = Prefixes(options.passages_bytes)
        self._rows_bytes = options.rows_bytes

    def chat(self, body: bytes, callback: Callback) -> None:
        request = read_request(body)
        prompt = self.tokens.chat(request.messages)
        say = _saying(Endpoint.CHAT, callback)
        begin = partial(answer, self.model, self.tokens, self.positions, request, prompt, 0, say)
        self.stepper.run(begin, _leaving(callback))

    def complete(self, body: bytes, callback: Callback) -> None:
        request = read_request(body)
        say = _saying(Endpoint.COMPLETION, callback)
        prompts = [self._ids(prompt) for prompt in request.prompts]
        for number, ids in enumerate(prompts):
            first = number * request.choices
            begin = partial(answer, self.model, self.tokens, self.positions, request, ids, first, say)
            self.stepper.run(begin, _leaving(callback))

    def reaching(self, tokens: int) -> "TorchEngine":
        """Return a copy of the engine with positions for at least `tokens`. The copy shares the model, so do not close
        it.
        """
        other = copy(self)
        other.positions = replace(self.positions, set_for_tokens=tokens)
        return other

    def mix(self, passages: Sequence[str], mixed: Nbce, tell: Callable[[WindowsReport], None]) -> Call:
        """Return a method like `chat` and `complete` that reads the passages in parallel.

        Each passage is put before the last user message, or before the prompt.
        """

        def call(body: bytes, callback: Callback) -> None:
            request = read_request(body)
            if request.choices > 1 or len(request.prompts) > 1:
                raise BadRequest("'n' must be 1 if contexts are given, and there must be one prompt.", param="n")
            cut = self._cut_chat if request.messages else self._cut_prompt
            prefixes, question = cut(request, passages)
            windows = Windows(prefixes, question, mixed, self._rows_bytes)
            say = _saying(Endpoint.CHAT if request.messages else Endpoint.COMPLETION, callback)
            engine = self.model, self.tokens, self.positions, self._prefixes
            self.stepper.run(partial(mixed_answer, *engine, request, windows, say, tell), _leaving(callback))

        return call

    def _cut_chat(self, request: EngineRequest, passages: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Return the tokens of each row before the question, and the tokens of the question.

        Row 0 has no passage. The question is tokenized separately, because all rows share it.
        """
        messages = request.messages
        place = max((at for at, message in enumerate(messages) if message.role == "user"), default=-1)
        if place < 0:
            raise BadRequest("'messages' hold no message of a user.", param="messages")
        cut, question = secrets.token_hex(16), messages[place].content

        def around(before: str) -> tuple[list[int], list[int]]:
            asking = EngineMessage("user", before + cut + question)
            return self.tokens.around([*messages[:place], asking, *messages[place + 1 :]], cut)

        bare, behind = around("")
        return [bare, *[around(text + BETWEEN)[0] for text in passages]], behind

    def _cut_prompt(self, request: EngineRequest, passages: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Return the same as `_cut_chat`, for a raw prompt. Row 0 must not be empty, so it consists of a blank line."""
        (prompt,) = request.prompts
        behind = self._ids(prompt)
        return [self.tokens.foreign(text + BETWEEN) for text in ("", *passages)], behind

    def _ids(self, prompt: str | list[int]) -> list[int]:
        """Return the token numbers of a prompt.

        Raises `BadRequest` for an empty prompt and for invalid numbers. A single invalid number would make all requests
        in the same step fail.
        """
        ids = self.tokens.prompt(prompt) if isinstance(prompt, str) else prompt
        if not ids:
            raise BadRequest("'prompt' has no tokens.", param="prompt")
        if wrong := [number for number in ids if not 0 <= number < self.model.vocabulary]:
            known = f"this model's tokens are 0 to {self.model.vocabulary - 1}"
            raise BadRequest(f"'prompt' holds {wrong[0]}, which is not a token: {known}.", param="prompt")
        return ids

    def count_tokens(self, text: str) -> int:
        return self.tokens.count(text)

    def close(self) -> None:
        self.stepper.close()


def _leaving(callback: Callback) -> Callable[[], bool]:
    return lambda: callback(b"")


def _saying(endpoint: Endpoint, callback: Callback) -> Say:
    name, created = secrets.token_hex(12), int(time.time())

    def say(piece: EnginePiece) -> bool:
        return callback(encoded(piece, endpoint, name, created))

    return say
