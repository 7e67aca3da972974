"""Carries Gemini's thought signatures through the clients of other APIs, and back.

Gemini signs its calls of functions, and newer models refuse a conversation whose calls lack their signatures. Chat
completions, responses and messages have no field for them, and clients drop fields that they do not know. But every
client sends a call's id back, so the signature is a part of the id. Other signatures go into `thinking_blocks`.
"""

from typing import Any

from gateway.wire.chat.completion import text_of
from gateway.wire.loose_objects import object_of

BETWEEN = "__signed__"
"""Stands in an id between the call's own id and the signature."""
OF_GEMINI = "gemini:"
"""Begins a signature in `thinking_blocks`, which tells it from the signature of another provider's model."""
MISSING = "skip_thought_signature_validator"
"""Google's documentation names this signature for calls that another model made."""
_TO_ID = str.maketrans("+/", "-_", "=")
_FROM_ID = str.maketrans("-_", "+/")
OWN = "call_fw_"
"""Begins an id that the gateway made."""


def signed_id(id: str, signature: str) -> str:
    """Return an id that carries the signature. Only letters, digits, `-` and `_` are added, which every API allows."""
    return f"{id}{BETWEEN}{signature.translate(_TO_ID)}" if signature else id


def parts_of_id(id: str) -> tuple[str, str]:
    """Return a call's own id and its signature. The id is "" if the gateway made it, the signature if there is none."""
    if BETWEEN not in id:
        return "" if id.startswith(OWN) else id, ""
    own, _, carried = id.partition(BETWEEN)
    own = "" if own.startswith(OWN) else own
    signature = carried.translate(_FROM_ID)
    return own, signature + "=" * (-len(signature) % 4)


def signature_beside(extra_content: Any) -> str:
    """Return the signature in a call's `extra_content`, where Google's own chat completions put it."""
    if extra_content is None:
        return ""
    return text_of(object_of(object_of(extra_content).get("google")).get("thought_signature"))
