"""What comparisons read of a record: the rest of it is most of its bytes."""

import msgspec
from msgspec import Struct

from gateway.exchange import Arm


class SpokenVersion(Struct):
    """Which version spoke, to whom."""

    template: str = ""
    version: int = 0
    arm: Arm = Arm.NONE


class FeedbackEntry(Struct):
    text: str = ""


class SpokenRecord(Struct):
    rewrite: SpokenVersion = msgspec.field(default_factory=SpokenVersion)
    answer: FeedbackEntry = msgspec.field(default_factory=FeedbackEntry)
    changed: bool = False
    policy: str = "full"


read_told = msgspec.msgpack.Decoder(SpokenRecord).decode
