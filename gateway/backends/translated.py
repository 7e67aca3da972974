"""Shared parts of the translations between APIs: streams that are translated piece by piece, and headers."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from gateway.errors import RequestError
from gateway.exchange import Note
from gateway.ports import Headers, Reply, StreamEnd

JSON: Headers = ((b"content-type", b"application/json"),)
EVENTS: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
# headers about the body that came in, which are wrong for its translation
OF_THE_BODY = (b"content-type", b"content-encoding", b"cache-control", b"etag", b"content-md5")


class StreamTranslator(Protocol):
    """Translates a stream in pieces of whole events.

    `over` is true after the last event. If an error ended the stream, `failure` is this error.
    """

    failure: RequestError | None
    over: bool
    unreadable: int

    def feed(self, piece: bytes) -> bytes: ...

    def end(self) -> bytes: ...

    def fail(self, error: RequestError) -> bytes: ...


class TranslatedStream:
    """Yields the translated pieces of a stream. An error of the backend is translated for the client, and then raised.

    This is a class because `aclose` must always run. Closing a generator that was never started runs no code.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        translator: StreamTranslator,
        notes: list[Note],
        late: Callable[[], Note | None] = lambda: None,
    ) -> None:
        """`late` is called at the end of the stream. It returns a note that could not be made earlier, or None."""
        self.end_mark = StreamEnd()
        self._late = late
        self._pieces = pieces
        self._notes = notes
        self._translator = translator
        self._ended = False
        self._is_noted = False

    def __aiter__(self) -> "TranslatedStream":
        return self

    async def __anext__(self) -> bytes:
        events = b""
        while not events:
            if self._translator.failure is not None:
                raise self._translator.failure
            if self._ended:
                raise StopAsyncIteration
            events = await self._more()
        self.end_mark.is_reached = self._translator.over
        self.end_mark.has_fault = self._translator.failure is not None
        return events

    async def _more(self) -> bytes:
        try:
            events = self._translator.feed(await anext(self._pieces))
            if self._translator.over:
                # the exchange is recorded before the end mark is sent, with its notes
                self._note()
            return events
        except StopAsyncIteration:
            self._ended = True
            self._note()
            return self._translator.end()
        except RequestError as error:
            # a failure after the end mark does not affect the answer
            self._ended = True
            return b"" if self._translator.over else self._translator.fail(error)

    def _note(self) -> None:
        if self._is_noted:
            return
        self._is_noted = True
        if count := self._translator.unreadable:
            self._notes.append(Note("stream", "passed over", f"{count} events were not JSON objects"))
        if (late := self._late()) is not None:
            self._notes.append(late)

    async def aclose(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


def translated_headers(reply: Reply, kind: Headers) -> Headers:
    """Return the headers of the translation. They are the reply's headers with the media type `kind` for the body."""
    return (*kind, *[header for header in reply.headers if header[0].lower() not in OF_THE_BODY])


def uncompressed(headers: Headers) -> Headers:
    """Return the headers without `accept-encoding`. A compressed answer could not be translated."""
    return tuple([header for header in headers if header[0] != b"accept-encoding"])
