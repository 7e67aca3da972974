"""The stage `swap`. It replaces an application's own prompt with a promoted version of that prompt.

The system message and the last user message may change. The messages between them stay byte for byte the same, and so
do tools, formats and all other settings of the request. In case of doubt, the request is not changed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.errors import NotReady, RequestError
from gateway.exchange import Arm, Exchange, Rewrite, SlotValue, Target
from gateway.ports import HotState
from gateway.prompt.cost import estimated_tokens
from gateway.prompt.found.adopt import FoundTemplate
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.index import SYSTEM, PromptMatch, readable
from gateway.prompt.found.table import FoundTable
from gateway.prompt.policy.arms import place, takes_part
from gateway.prompt.templates.fields import Shot
from gateway.settings.prompt import PromptTable

Embed = Callable[[Sequence[str]], Awaitable[Any]]
Reroute = Callable[[Exchange, str], tuple[Target, ...]]
"""Returns the targets of another model for a request. Raises a `RequestError` if the key may not use it."""
FOUND = "found"
"""The technique that is recorded for a rewrite with a promoted version of an application's prompt."""
MATCHED_S = 30 * 86_400.0
"""How long the hot state remembers that a prompt has matched often enough."""
REPLIES = ("assistant", "tool", "function")


class SwapStage:
    """The stage `swap`. The hot state stores which conversations get the version. `embed` is None while the embedder is
    loading, and where none is configured. `reroute` returns the targets of a version that another model answers.
    """

    name = "swap"

    def __init__(
        self,
        settings: PromptTable,
        found: FoundTable,
        state: HotState,
        embed: Embed | None = None,
        reroute: Reroute | None = None,
    ) -> None:
        self._settings = settings
        self._found = found
        self._state = state
        self._embed = embed
        self._reroute = reroute

    async def __call__(self, exchange: Exchange) -> Exchange:
        template = self._found.spoken.get(exchange.recognised.id)
        if template is None:
            return exchange
        match = self._found.index.find(exchange.key.name, exchange.ask.endpoint, exchange.ask.turns)
        if match is None or match.prompt.spoken is None or match.prompt.spoken.version != template.version:
            return exchange  # the file is being read again
        reason = self._why_identity(exchange, match, template) or await self._why_waiting(match)
        if reason:
            return exchange.noted(self.name, "identity", reason)
        is_drawn = _is_drawn(exchange, match)
        if await self._takes_part(exchange, match, str(template.version), is_drawn=is_drawn):
            arm = Arm.STABLE if match.prompt.spoken.share >= 1 else Arm.CANARY
            return await self._with(exchange, match, template, str(template.version), arm)
        return await self._without(exchange, match, template, is_drawn=is_drawn)

    async def _without(
        self, exchange: Exchange, match: PromptMatch, template: FoundTemplate, *, is_drawn: bool
    ) -> Exchange:
        """Return the exchange of a conversation that does not get the version on trial: with the application's own
        text, or with the version beneath.
        """
        beneath = self._found.beneath.get(match.prompt.id)
        held = f"{template.version} held"
        if beneath is None:
            if is_drawn:
                return exchange.noted(self.name, "identity", "the conversation began before the version was sent")
            return _held(exchange, match, template.version)
        if await self._takes_part(exchange, match, held, is_drawn=not is_drawn):
            sent = await self._with(exchange, match, beneath, held, Arm.HELD)
            return _held(sent, match, template.version) if sent.rewrite.template else sent
        # the conversation began before the trial
        if await self._state.blocked(_memory(exchange, match, str(beneath.version))) > 0:
            return await self._with(exchange, match, beneath, str(beneath.version), Arm.STABLE)
        return exchange.noted(self.name, "identity", "the conversation began before the version was sent")

    async def _with(
        self, exchange: Exchange, match: PromptMatch, template: FoundTemplate, side: str, arm: Arm
    ) -> Exchange:
        """Return the exchange with a version, and remember that the conversation is on this side."""
        try:
            routed = self._routed(exchange, template)
            shots = await self._nearest(template, match)
        except _GoesAsItCame as problem:
            return exchange.noted(self.name, "identity", str(problem))
        # a block in the hot state serves as a flag that expires, in the process or in Redis
        await self._state.block(_memory(exchange, match, side), self._settings.found_ttl_s)
        return _swapped(routed, match, template, shots, arm)

    def _why_identity(self, exchange: Exchange, match: PromptMatch, template: FoundTemplate) -> str:
        """Return the reason why the request must be sent unchanged, or "" if the version may be sent."""
        ask = exchange.ask
        if ask.named is not None or ask.controls.template:
            return "the request names its prompt"
        if ask.kept_elsewhere or ask.previous:
            return "part of the conversation is kept by the backend"
        if match.version.number != template.base:
            return f"the application's prompt is version {match.version.number}; the template is for {template.base}"
        if not _is_exact(match, ask.turns):
            return "the identity does not render the request"
        texts = readable(ask.turns)
        if texts is None or match.is_ambiguous(*texts):
            return "the text can be read in several ways"
        return ""

    async def _why_waiting(self, match: PromptMatch) -> str:
        """Return the reason why the version must wait until more requests have matched, or "".

        The workers count together, in the hot state.
        """
        needed = self._settings.found_matches
        if not needed:
            return ""
        name = f"found:{match.prompt.id}@{match.version.number}"
        if await self._state.blocked(f"{name}:matched") <= MATCHED_S / 2:
            # a count above its limit is a refusal elsewhere; here it says that enough requests have matched
            if not await self._state.hit(f"{name}:match", needed, MATCHED_S):
                return f"fewer than {needed} requests have matched so far"
            await self._state.block(f"{name}:matched", MATCHED_S)
        return ""

    async def _takes_part(self, exchange: Exchange, match: PromptMatch, side: str, *, is_drawn: bool) -> bool:
        """Return whether the conversation is on a side of the trial. It never changes sides: the first turn draws, and
        later turns remember.
        """
        if any(turn.role in REPLIES for turn in exchange.ask.turns):
            return await self._state.blocked(_memory(exchange, match, side)) > 0
        return is_drawn

    def _routed(self, exchange: Exchange, template: FoundTemplate) -> Exchange:
        """Let the version's model answer. The client's model stays behind it, in case that model fails."""
        if not template.model:
            return exchange
        if self._reroute is None:
            raise _GoesAsItCame(f"no backend offers the model {template.model!r}")
        try:
            targets = self._reroute(exchange, template.model)
        except RequestError as error:
            raise _GoesAsItCame(error.message) from error
        return replace(exchange, route=(*targets, *exchange.route), own_route=exchange.route)

    async def _nearest(self, template: FoundTemplate, match: PromptMatch) -> tuple[Shot, ...]:
        """Return the examples nearest to the request. Raises `_GoesAsItCame` if they cannot be chosen: the version was
        tested with them.
        """
        if template.nearest is None:
            return ()
        pool = self._found.pools.of(template)
        if pool is None or self._embed is None:
            raise _GoesAsItCame("its examples are being embedded, or there is no [embedder]")
        text = template.named(match.values)[template.nearest.part]
        budget_ms = self._settings.budget_ms
        try:
            async with asyncio.timeout(budget_ms / 1000):
                vectors = await self._embed([text])
        except (TimeoutError, NotReady) as error:
            why = str(error) or f"it took longer than {budget_ms} ms"
            raise _GoesAsItCame(f"the nearest examples were not chosen: {why}") from error
        return pool.nearest(vectors[0])


class _GoesAsItCame(Exception):
    """The request cannot get the version. The message gives the reason."""


def _memory(exchange: Exchange, match: PromptMatch, side: str) -> str:
    return f"found:{match.prompt.id}:{side}:{conversation_id(exchange, match.prompt.id)}"


def _held(exchange: Exchange, match: PromptMatch, version: int) -> Exchange:
    """Return the exchange of a control of the version on trial."""
    spoken = match.prompt.spoken
    assert spoken is not None  # the caller has checked this
    rewrite = Rewrite(template_name(match.prompt), version, FOUND, arm=Arm.HELD, controls=1 - spoken.share)
    return replace(exchange, rewrite=rewrite).noted("swap", Arm.HELD, "the conversation is a control")


def _is_drawn(exchange: Exchange, match: PromptMatch) -> bool:
    """Return whether the draw of a conversation is the version. Otherwise, the conversation is a control."""
    spoken = match.prompt.spoken
    assert spoken is not None  # the caller has checked this
    experiment = f"{match.prompt.id}@{spoken.version}"
    drawn = place(experiment, conversation_id(exchange, match.prompt.id)) < spoken.share
    return drawn and all(takes_part(exchange, trial) for trial in exchange.trials)


def _is_exact(match: PromptMatch, turns: tuple[Turn, ...]) -> bool:
    """Return whether the fixed text and the values together are exactly the request.

    If they are, no text is lost when a version of the prompt replaces the request.
    """
    shapes, rest = match.version.shapes, match.values
    texts = []
    for shape in shapes:
        texts.append(shape.text(rest[: shape.parts]))
        rest = rest[shape.parts :]
    system, last = readable(turns) or (None, "")
    return texts == ([last] if system is None else [system, last])


def conversation_id(exchange: Exchange, prompt: str) -> str:
    """Return the client's conversation id. Without one, return a hash of the key, the prompt, the system message and
    the first user message.

    All turns of a conversation have the same id.
    """
    if exchange.ask.controls.conversation:
        return exchange.ask.controls.conversation
    turns = exchange.ask.turns
    first = next((turn.text for turn in turns if turn.role == "user"), "")
    system = turns[0].text if turns and turns[0].role in SYSTEM else ""
    key = blake2b(f"{exchange.key.name}\0{prompt}".encode("utf-8", "surrogatepass"), digest_size=32).digest()
    text = f"{system}\0{first}".encode("utf-8", "surrogatepass")
    return blake2b(text, key=key, digest_size=12).hexdigest()


def _swapped(
    exchange: Exchange, match: PromptMatch, template: FoundTemplate, shots: tuple[Shot, ...], arm: Arm
) -> Exchange:
    spoken = match.prompt.spoken
    assert spoken is not None  # the caller has checked this
    values = template.named(match.values)
    turns = new_turns(exchange.ask.turns, template, values, shots)
    slots = tuple(SlotValue(name, value, "found") for name, value in values.items())
    rewrite = Rewrite(template_name(match.prompt), template.version, FOUND, slots, arm=arm, controls=1 - spoken.share)
    tokens = estimated_tokens(exchange.ask.turns), estimated_tokens(turns)
    rewrite = replace(rewrite, tokens_without=tokens[0], tokens_with=tokens[1])
    reason = f"{match.prompt.name} version {template.version}"
    if template.model:
        reason += f", answered by {template.model}"
    return replace(exchange, turns=turns, rewrite=rewrite, untouchable=reason).noted("swap", arm, reason)


def template_name(prompt: FoundPrompt) -> str:
    """Return the template's name in records and headers. A template of the library cannot have this name."""
    return f"{FOUND}:{prompt.name}"


def new_turns(
    own: tuple[Turn, ...], template: FoundTemplate, values: dict[str, str], shots: Sequence[Shot] = ()
) -> tuple[Turn, ...]:
    """Return the turns of the request with the version's messages. A message without changes is kept byte for byte.

    `shots` are the nearest examples.
    """
    head, tail = template.around_history(values, shots)
    last = max(at for at, turn in enumerate(own) if turn.role == "user")
    first = 1 if own[0].role in SYSTEM else 0
    before = [_turn(role, text, own[0] if role == "system" and first else None) for role, text in head]
    *added, (role, text) = tail
    return (
        *before,
        *own[first:last],
        *(_turn(role_, text_, None) for role_, text_ in added),
        _turn(role, text, own[last]),
        *own[last + 1 :],
    )


def _turn(role: str, text: str, own: Turn | None) -> Turn:
    if own is None:
        return Turn(role, text)
    if text == own.text:
        return own
    # the message keeps its other fields if the new text only adds to its own
    at = text.find(own.text)
    return Turn(own.role, text, around=own.source, offset=at) if at >= 0 and own.text else Turn(own.role, text)
