"""Parts of a stub of Amazon Bedrock: binary event streams, and a check of signatures without AWS's library."""

import hashlib
import hmac
import json
import struct
import zlib
from typing import Any
from urllib.parse import quote

from tests.doubles.upstream import Received

STREAM_HEADERS = [("content-type", "application/vnd.amazon.eventstream"), ("x-amzn-requestid", "r-1")]


def frame(payload: Any, event: str = "", exception: str = "") -> bytes:
    """Encode one message of an event stream."""
    named = {":exception-type": exception} if exception else {":event-type": event}
    kind = "exception" if exception else "event"
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in {**named, ":content-type": "application/json", ":message-type": kind}.items()
    )
    body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    start = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return start + struct.pack("!I", zlib.crc32(start))


def stream(*events: tuple[str, Any]) -> bytes:
    return b"".join(frame(payload, event) for event, payload in events)


def is_signed(received: Received, secret: str, service: str = "bedrock") -> bool:
    """Whether a request has a valid signature (AWS Signature Version 4) of this secret."""
    scheme, _, rest = received.headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        return False
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    _, day, region, signed_service, _ = fields["Credential"].split("/")
    method, target, _ = received.line.split(" ")
    names = fields["SignedHeaders"].split(";")
    headers = "".join(f"{name}:{received.headers[name].strip()}\n" for name in names)
    digest = hashlib.sha256(received.body).hexdigest()
    # outside S3, the path of a request is encoded once more in what is signed
    request = "\n".join([method, quote(target, safe="/~"), "", headers, fields["SignedHeaders"], digest])
    scope = f"{day}/{region}/{service}/aws4_request"
    what = "\n".join([scheme, received.headers["x-amz-date"], scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, what.encode(), hashlib.sha256).hexdigest()
    return signed_service == service and {"host", "x-amz-date"} <= set(names) and signature == fields["Signature"]
