"""Converts tools and results of the SDK to the gateway's values. Their texts come from outside, so control tokens in
them are broken up, and their size is limited."""

import json
from typing import Any

from gateway.context.control_tokens import broken
from gateway.mcp_offer import McpResult, McpTool

LONGEST_DESCRIPTION = 4000
LARGEST_SCHEMA = 32 * 1024
ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


def tool_of(tool: Any) -> McpTool:
    """Convert a tool. A schema over `LARGEST_SCHEMA` bytes is replaced by one for any object."""
    written = json.dumps(tool.input_schema)
    schema = json.loads(broken(written)) if len(written) <= LARGEST_SCHEMA else ANY_OBJECT
    hints = tool.annotations
    return McpTool(
        tool.name,
        broken((tool.description or "")[:LONGEST_DESCRIPTION]),
        {**ANY_OBJECT, **schema},
        bool(hints is not None and hints.read_only_hint),
    )


def result_of(result: Any, most_bytes: int) -> McpResult:
    """Convert a result. Only text is kept; of any other content, the kind is named."""
    texts = [_text(block) for block in result.content]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    text = "\n".join(texts)
    whole = len(text.encode("utf-8", "replace"))
    if whole > most_bytes:
        cut = text.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")
        text = f"{cut}\n[The output is cut: {most_bytes} of {whole} bytes.]"
    text = broken(text)
    if result.is_error:
        content = [{"type": "text", "text": text}]
        return McpResult(text, {"type": "mcp_tool_execution_error", "content": content})
    return McpResult(text)


def _text(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    resource = getattr(block, "resource", None)
    if resource is not None and hasattr(resource, "text"):
        return str(resource.text)
    kind = getattr(block, "mime_type", None) or block.type
    return f"[{kind}: not shown, since only text is passed on]"
