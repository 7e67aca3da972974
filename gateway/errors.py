"""The errors that Foreword raises. Each error holds the details that its reader needs to act.

ForewordError
├── ConfigError             a configuration cannot be used; lists all mistakes
├── TemplateError           a template file cannot be used; gives line and column
├── CollectionError         a document or a collection cannot be used
│   ├── StoreDamaged        the files of a vector store cannot be read
│   ├── StoreUnreachable    the server of a vector store does not answer
│   ├── DocumentGone        the document was deleted while it was being added
│   └── CatalogUnavailable  the catalog is locked, read-only or damaged; answered with 503
├── DatabaseFailed          the database of the records cannot be reached or used
│   └── RecordRefused       the database refuses this record; a retry would fail too
└── RequestError            sent to the client as OpenAI's error object, with this status
    ├── BadRequest          400
    │   └── ContextTooLong  400  context_length_exceeded
    ├── NoKey               401
    ├── KeyNotAllowed       403
    ├── NotFound            404
    ├── TimedOut            408
    ├── BodyTooLarge        413
    ├── EncodingNotRead     415
    ├── ToolServerFailed    424
    ├── LimitReached        429
    ├── BackendFailed       502
    │   ├── AnswerLost      the backend accepted the request, but its answer is incomplete
    │   ├── CallMissing     the answer lacks the tool call that the request requires
    │   └── StreamFailed    the stream from the backend has already brought the error to the client
    ├── NotReady            503
    ├── TooBusy             503
    └── BackendTimeout      504
"""

from typing import Any

from msgspec import Struct


class ForewordError(Exception):
    """The base class of all errors that Foreword raises on purpose."""


class Problem(Struct, frozen=True):
    """One mistake in a file: its place, its description and a remedy."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"\n    {self.remedy}" if self.remedy else "")


class ConfigError(ForewordError):
    """A configuration cannot be used. The error holds all mistakes, not only the first one."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class TemplateError(ForewordError):
    """A template file cannot be used. `line` and `column` count from 1. They are 0 if the place is unknown."""

    def __init__(self, file: str, what: str, line: int = 0, column: int = 0) -> None:
        place = f"{file}:{line}:{column}" if line else file
        super().__init__(f"{place}: {what}")
        self.file, self.what, self.line, self.column = file, what, line, column


class CollectionError(ForewordError):
    """A document or a collection cannot be used. The message names the document or collection and gives the reason."""


class StoreDamaged(CollectionError):
    """The files of a vector store cannot be read. The message names the files and says how to replace them."""


class StoreUnreachable(CollectionError):
    """The server of a vector store does not answer. The message has its address and the reason."""


class DocumentGone(CollectionError):
    """The document was deleted or cancelled while it was being added."""


class DatabaseFailed(ForewordError):
    """The database of the records cannot be reached, or refuses to work. The spool keeps the records until the database
    works again.
    """


class RecordRefused(DatabaseFailed):
    """The database works but refuses the values of a record, for example a blob over the database's limit. A retry
    would fail too.
    """


class RequestError(ForewordError):
    """An error that is sent to the client as an HTTP status and OpenAI's error object."""

    status = 500
    type = "server_error"
    code: str | None = None
    taken = False
    """Whether a backend accepted the request before the failure. If so, sending the request again could do the work
    twice.
    """
    calls: tuple[Any, ...] = ()
    """The model calls (`exchange.Call`) that were made before the error."""
    passed: tuple[str, ...] = ()
    """Why the targets of the route that came before did not answer."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else type(self).code
        self.retry_after_s = retry_after_s


class BadRequest(RequestError):
    status = 400
    type = "invalid_request_error"


class ContextTooLong(BadRequest):
    """The prompt does not fit the model's window and cannot be shortened. `remedy` says what else can be done."""

    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, window_tokens: int, answer_tokens: int, remedy: str = "") -> None:
        super().__init__(
            f"This model's maximum context length is {window_tokens} tokens. However, the messages hold "
            f"{prompt_tokens} tokens and {answer_tokens} are reserved for the answer. "
            + (remedy or "Shorten the last message or ask for fewer completion tokens."),
            param="messages",
        )
        self.prompt_tokens = prompt_tokens
        self.window_tokens = window_tokens


class NoKey(RequestError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class KeyNotAllowed(RequestError):
    status = 403
    type = "permission_error"


class NotFound(RequestError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class TimedOut(RequestError):
    """The client did not send its request in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class BodyTooLarge(RequestError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class EncodingNotRead(RequestError):
    status = 415
    type = "invalid_request_error"
    code = "unsupported_encoding"


class ToolServerFailed(RequestError):
    """An MCP server that the request names cannot list its tools."""

    status = 424
    type = "external_connector_error"
    code = "mcp_server_unavailable"


class LimitReached(RequestError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class BackendFailed(RequestError):
    """No backend on the route answered."""

    status = 502
    type = "upstream_error"
    code = "backend_failed"


class AnswerLost(BackendFailed):
    """The backend accepted the request, but its answer is incomplete."""

    code = "answer_lost"
    taken = True


class CallMissing(BackendFailed):
    """The answer lacks the tool call that `tool_choice` requires."""

    code = "tool_call_missing"
    taken = True


class StreamFailed(BackendFailed):
    """The backend's stream ended with an error event. The client has already received this event, so the gateway sends
    no error of its own.
    """


class NotReady(RequestError):
    status = 503
    type = "server_error"
    code = "not_ready"


class TooBusy(RequestError):
    """The gateway is handling as many requests as it accepts."""

    status = 503
    type = "server_error"
    code = "server_busy"


OUTAGES = {
    "locked": "locked by another process",
    "readonly": "read-only",
    "read-only": "read-only",
    "disk is full": "on a full disk",
    "unable to open": "unreachable, since the file or its folder may be read-only",
    "malformed": "damaged",
    "not a database": "damaged",
}


def outage_cause(reason: str) -> str:
    """Return a description of a database failure for clients. The driver's own message is not shown, since it may
    contain an address.
    """
    state = next((state for words, state in OUTAGES.items() if words in reason.lower()), "")
    return f": their database is {state}" if state else " at the moment"


class CatalogUnavailable(CollectionError, NotReady):
    """The catalog's file is read-only, damaged or locked by another process.

    Clients get `message`, which does not name the file. The operator's log gets `str(error)`, which names the file.
    """

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"The collections cannot be used{outage_cause(reason)}. Try again.", retry_after_s=2.0)
        self.args = (f"{file}: {reason}",)


class BackendTimeout(RequestError):
    status = 504
    type = "upstream_error"
    code = "backend_timeout"
    taken = True
