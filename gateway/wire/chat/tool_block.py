"""The tools of a chat completion request. What other APIs make of them is translated once.

A coding agent sends the same 10 to 60 kB of tools with every request. `benchmarks/providers.py` shows what this saves.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.wire.json_fields import decoded
from gateway.wire.messages.losses import Losses

MOST_KEPT, MOST_TOOLS, LONGEST_KEPT = 32, 512, 128 * 1024
"""The number of blocks that are kept, and the tools and bytes of the largest of them. In all, this is some 25 MB."""


class FunctionSpec(Struct, frozen=True):
    name: str = ""
    description: Raw | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET
    strict: Raw | UnsetType = UNSET


class ChatTool(Struct, frozen=True):
    type: str = "function"
    function: FunctionSpec = FunctionSpec()
    cache_control: Raw | UnsetType = UNSET


Translation = Callable[[Sequence[ChatTool], Losses], Any]
"""Translates tools to what can be encoded as JSON. Raises `BadRequest` for tools that the other API lacks."""
_tools = msgspec.json.Decoder(list[ChatTool])
_encode = msgspec.json.Encoder().encode


class ToolBlock:
    """The tools of a request, in their order."""

    def __init__(self, tools: Sequence[ChatTool], lost: Losses | None = None) -> None:
        """`lost` is what another API's tools had, and chat completions lack."""
        self.tools = tools
        self.lost = lost or Losses()
        self._translated: dict[str, tuple[Raw, Losses]] = {}

    def __bool__(self) -> bool:
        return bool(self.tools)

    @cached_property
    def raw(self) -> Raw:
        """The tools as the JSON of a chat completion request."""
        return Raw(_encode(self.tools))

    def translated(self, api: str, translate: Translation, losses: Losses) -> Raw:
        """Return the JSON of the tools in another API. `api` tells the translations of one block apart."""
        if api not in self._translated:
            lost = Losses()
            self._translated[api] = Raw(_encode(translate(self.tools, lost))), lost
        content, lost = self._translated[api]
        losses.add_all(lost)
        return content

    def among(self, names: set[str]) -> "ToolBlock":
        """Return those of the tools that have one of the names."""
        return ToolBlock([tool for tool in self.tools if tool.function.name in names])


NO_TOOLS = ToolBlock(())


class KeptBlocks:
    """The blocks that were decoded last, by their bytes."""

    def __init__(self, decode: Callable[[bytes], ToolBlock]) -> None:
        self._decode = decode
        self._blocks: dict[bytes, ToolBlock] = {}

    def decoded(self, raw: Raw | None) -> ToolBlock:
        """Decode the field `tools`. Raises `BadRequest`, which names the field, for a wrong type."""
        if raw is None:
            return NO_TOOLS
        content = bytes(raw)
        block = self._blocks.pop(content, None)
        if block is None:
            block = self._decode(content)
        if len(content) <= LONGEST_KEPT and len(block.tools) <= MOST_TOOLS:
            self._blocks[content] = block
            if len(self._blocks) > MOST_KEPT:
                self._blocks.pop(next(iter(self._blocks)), None)
        return block


def _decoded(content: bytes) -> ToolBlock:
    tools: list[ChatTool] = decoded(_tools, content, "tools")
    return ToolBlock(tools)


_kept = KeptBlocks(_decoded)


def tool_block(raw: Raw | None) -> ToolBlock:
    """Decode the field `tools`. Raises `BadRequest`, which names the field, for a wrong type."""
    return _kept.decoded(raw)
