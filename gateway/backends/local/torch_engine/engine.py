"""The torch engine, loaded: requests in the gateway's engine language in, pieces out."""

import secrets
import time
from pathlib import Path

from msgspec import Struct

from gateway.backends.local.generation import Callback
from gateway.backends.local.torch_engine.answer import answer
from gateway.backends.local.torch_engine.choice import Say
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.load import load
from gateway.backends.local.torch_engine.positions import Positions
from gateway.backends.local.torch_engine.stepper import Stepper
from gateway.exchange import Endpoint
from gateway.wire.engine_pieces import Piece, encoded, wanted


class EngineOptions(Struct, frozen=True):
    """How to load a model; see `TorchSettings`."""

    keep: Path
    positions: Positions
    threads: int = 1
    dtype: str = "auto"
    chat_template: str = ""
    default_system: bool = False


class Engine:
    """A loaded model. The constructor loads it and blocks. Satisfies `serve.Loaded`."""

    def __init__(self, path: Path, options: EngineOptions) -> None:
        self.model, tokenizer = load(path, options.keep, options.dtype)
        self.tokens = Tokens(tokenizer, chat_template=options.chat_template, default_system=options.default_system)
        self.positions = options.positions
        self.stepper = Stepper(self.model, options.threads)

    def chat(self, body: bytes, callback: Callback) -> None:
        asked = wanted(body)
        prompt = self.tokens.chat(asked.messages)
        say = _saying(Endpoint.CHAT, callback)
        self.stepper.run(lambda: answer(self.model, self.tokens, self.positions, asked, prompt, 0, say))

    def complete(self, body: bytes, callback: Callback) -> None:
        asked = wanted(body)
        say = _saying(Endpoint.COMPLETION, callback)
        for number, prompt in enumerate(asked.prompts):
            ids = self.tokens.prompt(prompt) if isinstance(prompt, str) else prompt
            first = number * asked.choices
            self.stepper.run(
                lambda ids=ids, first=first: answer(  # type: ignore[misc]  # the defaults bind this turn's values
                    self.model, self.tokens, self.positions, asked, ids, first, say
                )
            )

    def count_tokens(self, text: str) -> int:
        return self.tokens.count(text)

    def close(self) -> None:
        self.stepper.close()


def _saying(endpoint: Endpoint, callback: Callback) -> Say:
    name, created = secrets.token_hex(12), int(time.time())

    def say(piece: Piece) -> bool:
        return callback(encoded(piece, endpoint, name, created))

    return say
