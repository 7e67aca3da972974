"""A model with scripted answers. Satisfies `ports.Completer`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.ask import Turn
from gateway.errors import BackendFailed
from gateway.exchange import Call, Exchange, Sampling
from gateway.ports import Answer, Completed


class ScriptedCompleter:
    """Gives its answers in turn and repeats the last. None means that the backend fails. `asked` collects the
    prompts."""

    def __init__(self, *answers: str | None, delay_s: float = 0.0) -> None:
        self._answers = list(answers)
        self._delay_s = delay_s
        self.asked: list[tuple[str, str, Mapping[str, Any] | None]] = []

    async def complete(
        self,
        exchange: Exchange,
        turns: Sequence[Turn],
        *,
        purpose: str,
        model: str = "",
        sampling: Sampling = Sampling.NONE,
        schema: Mapping[str, Any] | None = None,
    ) -> Completed:
        self.asked.append((model, turns[-1].text, schema))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await asyncio.sleep(self._delay_s)
        if answer is None:
            raise BackendFailed("The backend is down.")
        return Completed(Answer(answer), Call(purpose, "up", model, 10, 5))
