"""Finds out whether a request requires a tool call, and whether the answer contains the required call."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.ask import Ask, Endpoint
from gateway.wire.chat.completion import CallPart, loose_json, read_completion, text_of

ANY = ""
"""Stands for a required call of any tool, in place of a function's name."""
KINDS = ("function", "custom")
CALL = "_call"
"""In a response, the type of every call ends with this, such as `function_call` or `web_search_call`."""


class _ChoiceFields(Struct):
    tool_choice: Raw = Raw(b"null")
    function_call: Raw = Raw(b"null")
    """The older form of the field `tool_choice`."""


_fields = msgspec.json.Decoder(_ChoiceFields)


def required_names(ask: Ask) -> frozenset[str]:
    """Return the names of the functions that the model may call, if `tool_choice` requires a call.

    `ANY` stands for every tool. The set is empty if no call is required. The set is also empty for Anthropic's API,
    which enforces the choice itself.
    """
    if ask.endpoint.is_anthropic or not ask.may_require_call:
        return frozenset()
    try:
        fields = _fields.decode(ask.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return frozenset()  # the backend validates the body
    return _names(loose_json(bytes(fields.tool_choice))) or _older_names(loose_json(bytes(fields.function_call)))


def _names(choice: Any) -> frozenset[str]:
    if choice == "required":
        return frozenset({ANY})
    if not isinstance(choice, dict):
        return frozenset()
    kind = text_of(choice.get("type"))
    if kind == "allowed_tools":
        allowed = choice.get(kind)
        inner = allowed if isinstance(allowed, dict) else choice
        return _allowed(inner.get("tools")) if inner.get("mode") == "required" else frozenset()
    return frozenset({_name(choice)}) if kind else frozenset()


def _allowed(tools: Any) -> frozenset[str]:
    return (
        frozenset(_name(tool) for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else frozenset()
    )


def _older_names(choice: Any) -> frozenset[str]:
    return frozenset({text_of(choice.get("name"))}) if isinstance(choice, dict) else frozenset()


def _name(tool: dict[str, Any]) -> str:
    """Return a tool's name in the form of either API. Returns `ANY` for a hosted tool, because its calls have other
    names."""
    inner = next((tool[kind] for kind in KINDS if isinstance(tool.get(kind), dict)), tool)
    return text_of(inner.get("name"))


class CallCheck:
    """Searches an answer for the required call. `read` takes either a whole body or the data of one event."""

    def __init__(self, ask: Ask, names: frozenset[str]) -> None:
        self.finish = ""
        """The reason why the answer ended, as the backend reports it."""
        self._names = names
        self._is_response = ask.endpoint is Endpoint.RESPONSES
        self._choices = 1 if self._is_response else max(1, ask.choices)
        self._calling: set[int] = set()

    @property
    def is_met(self) -> bool:
        """Return whether every choice of the answer contains a required call."""
        return len(self._calling) >= self._choices

    def read(self, data: bytes) -> None:
        if self._is_response:
            self._read_response(loose_json(data))
        else:
            self._read_chat(data)

    def _read_chat(self, data: bytes) -> None:
        completion = read_completion(data)
        for place, choice in enumerate((completion.choices if completion else None) or ()):
            self.finish = choice.finish_reason or self.finish
            calls = choice.message_part.calls if choice.message_part is not None else ()
            if any(self._is_required(_called(call)) for call in calls):
                self._calling.add(place if choice.index is None else choice.index)

    def _read_response(self, fields: Any) -> None:
        response = fields.get("response") if isinstance(fields, dict) else None
        inner = response if isinstance(response, dict) else fields
        if not isinstance(inner, dict):
            return
        self.finish = text_of(inner.get("status")) or self.finish
        items = [fields.get("item"), *(inner.get("output") or ())]
        if any(self._is_call(item) for item in items if isinstance(item, dict)):
            self._calling.add(0)

    def _is_call(self, item: dict[str, Any]) -> bool:
        name = text_of(item.get("name"))
        return text_of(item.get("type")).endswith(CALL) and self._is_required(name or ANY)

    def _is_required(self, name: str | None) -> bool:
        return ANY in self._names or name == ANY or name in self._names


def _called(call: CallPart) -> str | None:
    """Return the name of the called function, or None for a chunk that continues a call.

    Returns `ANY` for a custom tool, because its name is in another field.
    """
    name = call.function.name if call.function is not None else None
    return name or (ANY if call.id and call.function is None else None)
