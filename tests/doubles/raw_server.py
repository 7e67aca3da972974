"""A server of blocking sockets in threads. It can send and close while the client's event loop is blocked."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable

LENGTH = re.compile(rb"content-length: (\d+)")


class RawConnection:
    """One connection, as its handler sees it."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link

    def request(self) -> bytes:
        """Read one whole request, or b"" if the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.link.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        match = LENGTH.search(head)
        missing = (int(match[1]) if match else 0) - len(body)
        while missing > 0:
            missing -= len(self.link.recv(65536))
        return head

    def send(self, data: bytes) -> None:
        self.link.sendall(data)

    def reset(self) -> None:
        """Close with a reset instead of an orderly shutdown."""
        self.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.link.close()


class RawServer:
    """Runs `handler(connection, number)` for each connection. A context manager."""

    def __init__(self, handler: Callable[[RawConnection, int], None]) -> None:
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.port = int(self._listener.getsockname()[1])

    @property
    def connections(self) -> int:
        return len(self._links)

    def __enter__(self) -> "RawServer":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in (self._listener, *self._links):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._links.append(link)
            thread = threading.Thread(target=self._serve, args=(link, len(self._links)))
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            self._handler(RawConnection(link), number)
        link.close()
