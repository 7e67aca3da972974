"""Collects the fields and blocks that a translation between the two APIs leaves out, for a note."""

from gateway.exchange import Note

STAGE = "translate"


class Losses:
    """The fields and blocks that a translation left out. Each is listed once, in the order of the request."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, name: str, why: str = "") -> None:
        """Record a loss. If the field was changed instead of left out, `why` describes the change."""
        self._names.setdefault(name, why)

    def add_all(self, others: "Losses") -> None:
        for name, why in others._names.items():
            self.add(name, why)

    def note(self) -> Note | None:
        """Return the note for the client and the record, or None if nothing was lost."""
        if not self._names:
            return None
        told = [f"{name} ({why})" if why else name for name, why in self._names.items()]
        return Note(STAGE, "left out", ", ".join(told), {"left_out": list(self._names)})
