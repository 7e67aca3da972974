"""Backend kind `scripted`: answers from the configuration, without a model or a network.

Use it in demonstrations and in tests of an application. This module is also the shortest example of a backend kind:
settings, a class that implements `ports.Backend`, and the `KIND` that joins the two.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.ask import Endpoint
from gateway.backends.local.generation import Callback
from gateway.backends.local.serve import LoadedEngine, LocalModel, Serving
from gateway.errors import BackendFailed, Problem
from gateway.registry import AdapterKind
from gateway.settings.numbers import Amount, Count
from gateway.wire.engine.pieces import EnginePiece, EngineRequest, TokenUsage, encoded, read_request

WORD = re.compile(r"\s*\S+|\s+$")


class ScriptedSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "scripted"`: fixed answers in place of a model. One word counts as a token."""

    name: str = "scripted"
    """The name by which clients request the model."""
    answers: dict[str, str] = {}
    """Regular expressions and their answers. The first expression that matches the last message selects the answer. In
    an answer, `{prompt}` stands for that message.
    """
    otherwise: str = "{prompt}"
    """The answer if no expression matches. By default the message is repeated."""
    failures: tuple[str, ...] = ()
    """Regular expressions. If one of them matches the last message, the backend fails like a server that is down."""
    word_ms: Amount = 0
    """The pause before each word, so that people can watch a stream arrive."""
    window_tokens: Count = 8192
    """The maximum length of prompt and answer together, in words."""
    parallel: Count = 8
    """The maximum number of answers at a time."""


class Script:
    """Implements `serve.LoadedEngine` with the answers in the settings."""

    def __init__(self, settings: ScriptedSettings) -> None:
        self._settings = settings
        self._answers = [(re.compile(pattern), answer) for pattern, answer in settings.answers.items()]
        self._failures = [re.compile(pattern) for pattern in settings.failures]

    def chat(self, body: bytes, callback: Callback) -> None:
        request = read_request(body)
        prompt = request.messages[-1].content
        read = sum(self.count_tokens(message.content) for message in request.messages)
        for index in range(request.choices):
            self._speak(request, index, prompt, read, Endpoint.CHAT, callback)

    def complete(self, body: bytes, callback: Callback) -> None:
        request = read_request(body)
        for number, prompt in enumerate(request.prompts):
            text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
            for choice in range(request.choices):
                index = number * request.choices + choice
                self._speak(request, index, text, self.count_tokens(text), Endpoint.COMPLETION, callback)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def close(self) -> None:
        """Do nothing, because a script holds no resources."""

    def _speak(
        self, request: EngineRequest, index: int, prompt: str, read: int, endpoint: Endpoint, callback: Callback
    ) -> None:
        words = WORD.findall(self._answer(prompt))
        spoken = words[: request.max_tokens]
        for number, word in enumerate(spoken):
            time.sleep(self._settings.word_ms / 1000)
            if callback(encoded(EnginePiece(index, word, first=number == 0), endpoint, "", 0)):
                return
        usage = TokenUsage(read, len(spoken))
        finish = "stop" if len(spoken) == len(words) else "length"
        callback(encoded(EnginePiece(index, finish=finish, usage=usage, first=not spoken), endpoint, "", 0))

    def _answer(self, prompt: str) -> str:
        if any(pattern.search(prompt) for pattern in self._failures):
            raise BackendFailed("The scripted backend fails for this message, as it is configured to.")
        matching = (answer for pattern, answer in self._answers if pattern.search(prompt))
        return next(matching, self._settings.otherwise).replace("{prompt}", prompt)


class Scripted(LocalModel):
    """Serves a script like a local model, with queue, streams and limits."""

    def __init__(self, name: str, settings: ScriptedSettings) -> None:
        self._settings = settings
        serving = Serving(
            name=settings.name,
            window_tokens=settings.window_tokens,
            parallel=settings.parallel,
            queue=1000,
            ready_wait_s=1.0,
            answer_tokens=settings.window_tokens,
        )
        super().__init__(name, serving)

    def _load(self) -> LoadedEngine:
        return Script(self._settings)


def build(name: str, settings: ScriptedSettings, _parts: Any) -> Scripted:
    return Scripted(name, settings)


def check(settings: ScriptedSettings, _root: Path) -> Iterable[Problem]:
    for key, patterns in (("answers", settings.answers), ("failures", settings.failures)):
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                remedy = r"Escape a character such as ( as \\(."
                yield Problem(key, f"{pattern!r} is not a regular expression: {error}", remedy)


KIND = AdapterKind(ScriptedSettings, build, check)
