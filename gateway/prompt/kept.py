"""Exceptions that say why a prompt stays unchanged."""

from gateway.errors import BadRequest, RequestError
from gateway.exchange import Call
from gateway.prompt.templates.template import Template


class KeptAsIs(Exception):
    """The prompt stays unchanged. The message becomes the reason in the note.

    If the client named the template, `refusal` is the error that the client gets.
    """

    def __init__(
        self,
        reason: str,
        template: Template | None = None,
        calls: tuple[Call, ...] = (),
        refusal: type[RequestError] = BadRequest,
    ) -> None:
        super().__init__(reason)
        self.reason, self.template, self.calls, self.refusal = reason, template, calls, refusal


class OtherQuestion(KeptAsIs):
    """The template is for one question, and the request asks another. A more general template may still fit."""
