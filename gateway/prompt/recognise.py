"""The stage `recognise`. It finds the application's prompt that a request was built from, if a prompt matches exactly.

The stage changes nothing: the client's own bytes are sent. It runs in every mode, so that the use of each prompt is
recorded even if nothing is rewritten.
"""

from msgspec.structs import replace

from gateway.exchange import Exchange, Note
from gateway.prompt.found.table import FoundTable
from gateway.recognised import RecognisedPrompt


class RecogniseStage:
    """The stage `recognise`. It searches only the prompts that were found in requests with the same key."""

    name = "recognise"

    def __init__(self, found: FoundTable) -> None:
        self._found = found

    async def __call__(self, exchange: Exchange) -> Exchange:
        index, ask, key = self._found.index, exchange.ask, exchange.key.name
        if not index.covers(key, ask.endpoint):
            return exchange
        match = index.find(key, ask.endpoint, ask.turns)
        if match is None:
            return exchange.noted(self.name, "unknown", "no prompt found in this key's traffic built the request")
        prompt, version = match.prompt, match.version.number
        recognised = RecognisedPrompt(prompt.id, prompt.name, version, match.values)
        note = Note(self.name, f"{prompt.name}@{version}", prompt.id, {"prompt": prompt.id, "version": version})
        return replace(exchange, recognised=recognised, notes=(*exchange.notes, note))
