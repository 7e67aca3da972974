"""The application's prompt that a request was built from, if the gateway has recognised the prompt."""

from typing import ClassVar

from msgspec import Struct


class RecognisedPrompt(Struct, frozen=True):
    """The prompt that a request was built from, with the values of the prompt's parts. `id` is "" if no prompt was
    recognised.
    """

    id: str = ""
    name: str = ""
    version: int = 0
    values: tuple[str, ...] = ()

    NONE: ClassVar["RecognisedPrompt"]

    @property
    def ref(self) -> str:
        """The prompt as `id@version`, or "" if no prompt was recognised."""
        return f"{self.id}@{self.version}" if self.id else ""


RecognisedPrompt.NONE = RecognisedPrompt()
