"""An upstream for attacks. The model's name chooses the answer.

`quick`: a completion at once. `big`: one of 5 MB. `stream-N`: N pieces, two a second. Run as a program:
`slow_upstream.py PORT`, with `benchmarks/` on the path.
"""

import asyncio
import json
import sys

from harness.nginx import COMPLETION
from harness.upstream import EVENT, HEAD

BIG_BYTES = 5 * 1024 * 1024
PIECE_S = 0.5


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            ask = json.loads(await reader.readexactly(length) or b"{}")
            await _answer(str(ask.get("model", "")), writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _answer(model: str, writer: asyncio.StreamWriter) -> None:
    if model.startswith("stream-"):
        await _stream(int(model.removeprefix("stream-")), writer)
        return
    body = COMPLETION
    if model == "big":
        body = body.replace("The capital", "x" * BIG_BYTES)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())


async def _stream(pieces: int, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    for number in range(pieces):
        writer.write(_chunk(EVENT % (f'{{"content":"{number} "}}', "null")))
        await asyncio.sleep(PIECE_S)
    writer.write(_chunk(EVENT % ("{}", '"stop"')) + _chunk("[DONE]") + b"0\r\n\r\n")


def _chunk(data: str) -> bytes:
    event = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
