"""The few fields of a record that comparisons read: the rest is most of its bytes."""

import msgspec
from msgspec import Struct

from gateway.exchange import Arm


class SpokenVersion(Struct):
    """The version that was used, and for which arm."""

    template: str = ""
    version: int = 0
    arm: Arm = Arm.NONE


class SpokenText(Struct):
    text: str = ""


class SpokenRecord(Struct):
    rewrite: SpokenVersion = msgspec.field(default_factory=SpokenVersion)
    answer: SpokenText = msgspec.field(default_factory=SpokenText)
    changed: bool = False
    policy: str = "full"


read_spoken = msgspec.msgpack.Decoder(SpokenRecord).decode
