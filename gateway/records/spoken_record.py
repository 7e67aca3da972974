"""The record fields that are needed to compare template versions. Skipping the other fields saves most of the decoding
time."""

import msgspec
from msgspec import Struct

from gateway.exchange import Arm
from gateway.ports import ToolCall


class SpokenVersion(Struct):
    """The template version that was chosen for a request, and the arm of the experiment."""

    template: str = ""
    version: int = 0
    arm: Arm = Arm.NONE
    controls: float = 0.0
    tokens_without: int = 0
    tokens_with: int = 0


class SpokenText(Struct):
    text: str = ""
    finish: str = ""
    calls: tuple[ToolCall, ...] = ()


class SpokenRecord(Struct):
    rewrite: SpokenVersion = msgspec.field(default_factory=SpokenVersion)
    answer: SpokenText = msgspec.field(default_factory=SpokenText)
    changed: bool = False
    policy: str = "full"
    time_s: float = 0.0
    recognised: str = ""
    """The found prompt that built the request, as `id@version`, or ""."""


read_spoken = msgspec.msgpack.Decoder(SpokenRecord).decode
