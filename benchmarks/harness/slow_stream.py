"""An upstream that answers at once, and streams its pieces over one second: `slow_stream.py PORT PIECES`."""

import asyncio
import json
import sys

HEAD = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
MESSAGE = {"role": "assistant", "content": "Hello."}
WHOLE = json.dumps(HEAD | {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}).encode()
CHOICE = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
CHUNK = json.dumps(HEAD | {"object": "chat.completion.chunk", "choices": [CHOICE]}).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: int) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(int(length.split(b":")[1]))
            if not json.loads(body).get("stream"):
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE)
                writer.write(head + WHOLE)
                await writer.drain()
                continue
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for event in [*[CHUNK] * pieces, b"[DONE]"]:
                data = b"data: " + event + b"\n\n"
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await writer.drain()
                await asyncio.sleep(1 / pieces)
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    port, pieces = int(sys.argv[1]), int(sys.argv[2])
    server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, pieces), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
