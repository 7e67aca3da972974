"""Counts tokens with the tokenizer of a running llama.cpp, over its private Unix socket."""

import http.client
import json
import socket
from functools import lru_cache

LONG = 4000  # characters; a longer text is a document, which is rarely counted twice


class SocketTokenizer:
    """Counts tokens exactly for the loaded model. Any thread may call it; each call opens a short connection."""

    def __init__(self, path: str, secret: str) -> None:
        self._path = path
        self._secret = secret
        self._remembered = lru_cache(maxsize=2048)(self._ask)

    def count(self, text: str) -> int:
        """Return the number of tokens in `text`. A `<|im_end|>` that a user wrote is plain text, not a control
        token.
        """
        return self._ask(text) if len(text) > LONG else self._remembered(text)

    def _ask(self, text: str) -> int:
        connection = _UnixConnection(self._path)
        try:
            body = json.dumps({"content": text, "parse_special": False, "add_special": False})
            headers = {"authorization": f"Bearer {self._secret}", "content-type": "application/json"}
            connection.request("POST", "/tokenize", body, headers)
            response = connection.getresponse()
            content = response.read()
            if response.status != 200:
                raise OSError(f"the tokenizer answered {response.status}")
            return len(json.loads(content)["tokens"])
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
