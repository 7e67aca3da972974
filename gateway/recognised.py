"""The application's prompt that built a request, if the gateway has recognised it."""

from typing import ClassVar

from msgspec import Struct


class RecognisedPrompt(Struct, frozen=True):
    """A found prompt that built a request, and the values of its parts. `id` is "" if no prompt was recognised."""

    id: str = ""
    name: str = ""
    version: int = 0
    values: tuple[str, ...] = ()

    NONE: ClassVar["RecognisedPrompt"]

    @property
    def ref(self) -> str:
        """`id@version`, or "" if no prompt was recognised."""
        return f"{self.id}@{self.version}" if self.id else ""


RecognisedPrompt.NONE = RecognisedPrompt()
