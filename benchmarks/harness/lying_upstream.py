"""An upstream that misbehaves. The model's name says how (`harness/lies.py`).

Run as a program: `lying_upstream.py PORT`, with `benchmarks/` on the path. The request's token is the last word of its
last message.
"""

import asyncio
import json
import sys
from contextlib import suppress

from harness.lies import LIES
from harness.lying_wire import Wire


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        while await _one(reader, writer):
            pass
    writer.close()


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    ask = json.loads(await reader.readexactly(length))
    content = ask["messages"][-1]["content"]
    said = content if isinstance(content, str) else content[-1]["text"]
    wire = Wire(writer, said.split()[-1], stream=bool(ask.get("stream")))
    await LIES[ask["model"]].answer(wire)
    return wire.open


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
