"""A scripted upstream on a real socket. It records requests and sends scripted answers byte by byte."""

import asyncio
import json
from dataclasses import dataclass, field


@dataclass
class Script:
    """One answer. `end` is `whole`, `cut` (close early), `stall` (send nothing more) or `reset`."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("content-type", "application/json")])
    pieces: list[bytes] = field(default_factory=list)
    framing: str = "length"
    end: str = "whole"


@dataclass
class Received:
    """One received request. `left` is set when the client closed before the answer was complete."""

    line: str
    headers: dict[str, str]
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)


class Upstream:
    """Answers with the scripts in order, and repeats the last."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.refuses: tuple[str, ...] = ()
        """Requests with these fields get a 400, as reasoning models answer `temperature`. They use up no script."""
        self.received: list[Received] = []
        self._refusal = 400
        self.connections = 0
        self.heard = asyncio.Event()
        """Set when a request has arrived."""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    def play(self, *scripts: Script, refuses: tuple[str, ...] = (), status: int = 400) -> None:
        self.scripts, self.received = list(scripts), []
        self.refuses, self._refusal = refuses, status
        self.heard.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the loop is closing; a cancelled handler would be reported as an unhandled error
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _next(self, body: bytes) -> Script:
        fields = json.loads(body) if self.refuses else {}
        for name in self.refuses:
            if name in fields:
                return _refusal(name, self._refusal)
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        received = Received(head[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))
        self.received.append(received)
        self.heard.set()
        script = self._next(received.body)
        writer.write(_head(script))
        for piece in script.pieces:
            writer.write(_framed(piece, script))
            await writer.drain()
            await asyncio.sleep(0.01)  # a pause, so that the client reads each piece separately
        if script.end == "stall":
            await reader.read()  # wait until the gateway gives up
            received.left.set()
            return False
        if script.end == "reset":
            writer.transport.abort()
            return False
        if script.end == "cut" or script.framing == "close":
            return False
        if script.framing == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def _refusal(field: str, status: int) -> Script:
    message = f"Unsupported parameter: '{field}' is not supported with this model."
    error = {"message": message, "type": "invalid_request_error", "param": field, "code": "unsupported_parameter"}
    return Script(status, pieces=[json.dumps({"error": error}).encode()])


def _head(script: Script) -> bytes:
    lines = [f"HTTP/1.1 {script.status} Said So", *(f"{name}: {value}" for name, value in script.headers)]
    if script.framing == "chunked":
        lines.append("transfer-encoding: chunked")
    elif script.framing == "length":
        missing = 100 if script.end != "whole" else 0
        lines.append(f"content-length: {sum(map(len, script.pieces)) + missing}")
    else:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _framed(piece: bytes, script: Script) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if script.framing == "chunked" else piece
