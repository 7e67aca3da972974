"""What comparisons read of a record: the rest of it is most of its bytes."""

import msgspec
from msgspec import Struct

from gateway.exchange import Arm


class Spoke(Struct):
    """Which version spoke, to whom."""

    template: str = ""
    version: int = 0
    arm: Arm = Arm.NONE


class Said(Struct):
    text: str = ""


class Told(Struct):
    rewrite: Spoke = msgspec.field(default_factory=Spoke)
    answer: Said = msgspec.field(default_factory=Said)
    changed: bool = False
    policy: str = "full"


read_told = msgspec.msgpack.Decoder(Told).decode
