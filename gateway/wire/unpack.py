"""Decompresses bodies up to a size limit, because a few megabytes can expand to gigabytes."""

import zlib

MOST_BYTES = 8 * 1024 * 1024
_READABLE = ("gzip", "x-gzip", "deflate")
_GZIP_OR_ZLIB = 47  # accepts zlib and gzip headers, with the largest window
_NO_HEADER = -15


def unpacked(body: bytes, encoding: str, limit: int = MOST_BYTES) -> bytes:
    """Return the first `limit` bytes of the decompressed body, or b"" if it cannot be decompressed."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _READABLE:
        return b""
    for wbits in (_GZIP_OR_ZLIB, _NO_HEADER):
        try:
            return zlib.decompressobj(wbits=wbits).decompress(body, limit)
        except zlib.error:
            continue
    return b""
