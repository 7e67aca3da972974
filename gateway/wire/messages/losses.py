"""Collects what a translation between Anthropic's API and chat completions leaves out, for a note."""

from gateway.exchange import Note

STAGE = "translate"


class Losses:
    """The fields and blocks that a translation left out, each once, in the order in which they were found."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, name: str, why: str = "") -> None:
        """Record a loss. `why` says what happened instead of simply leaving it out."""
        self._names.setdefault(name, why)

    def note(self) -> Note | None:
        """The note for the client and the record; None if nothing was lost."""
        if not self._names:
            return None
        told = [f"{name} ({why})" if why else name for name, why in self._names.items()]
        return Note(STAGE, "left out", ", ".join(told))
