"""What is known about the paths that pass through: which have stored objects, and which of their parts are ids."""

import re
from collections.abc import Mapping

from msgspec import Struct

from gateway.backends.routing.aliases import matches
from gateway.errors import NotFound

OWN = frozenset(("chat", "completions", "embeddings", "foreword", "messages", "models", "v1", "vector_stores"))
"""The first parts of paths that never pass to a backend unread."""
STATELESS = frozenset(("audio", "images", "moderations", "rerank", "score", "classify", "pooling", "tokenize"))
"""The first parts of paths whose servers store nothing. Their answers are not read."""
SOUND, STATELESS_SOUND = "audio", frozenset(("audio/speech", "audio/transcriptions", "audio/translations"))
"""Below `audio`, servers also store voices and the like, so that only these paths are stateless."""
STATELESS_PATHS = ("responses/compact", "responses/input_tokens")
UNNAMED = frozenset(("batches", "conversations", "threads", "containers", "uploads", "files", "evals"))
"""The first parts of paths whose requests name no model."""
OF_OPERATORS = frozenset(("organization", "organizations", "admin", "projects", "dashboard", "usage", "credentials"))
"""The first parts of paths about the backend's account. Only a key with `admin` may use them."""
WORDS: Mapping[str, frozenset[str]] = {
    "audio": frozenset(("speech", "transcriptions", "translations", "voices", "voice_consents")),
    "batches": frozenset(("cancel",)),
    "files": frozenset(("content",)),
    "fine_tuning": frozenset(
        (
            "jobs",
            "events",
            "checkpoints",
            "cancel",
            "pause",
            "resume",
            "permissions",
            "alpha",
            "graders",
            "run",
            "validate",
        )
    ),
    "assistants": frozenset(("files",)),
    "threads": frozenset(("runs", "messages", "steps", "files", "cancel", "submit_tool_outputs")),
    "conversations": frozenset(("items",)),
    "videos": frozenset(("content", "remix", "edits", "extensions", "characters")),
    "containers": frozenset(("files", "content")),
    "realtime": frozenset(
        (
            "sessions",
            "transcription_sessions",
            "client_secrets",
            "translations",
            "calls",
            "accept",
            "hangup",
            "refer",
            "reject",
        )
    ),
    "evals": frozenset(("runs", "output_items", "cancel")),
    "uploads": frozenset(("parts", "complete", "cancel")),
}
"""The parts of known paths that are no ids. In a known path, every other part is an id."""
WORD = re.compile("[a-z_]+")


class PathParts(Struct, frozen=True):
    """A path below /v1. `ids` are its parts that are ids of objects, and `shown` has `*` in their place.

    `words` are the parts of an unknown path that may also be ids, because they have only letters.
    """

    family: str
    ids: tuple[str, ...]
    shown: str
    words: tuple[str, ...] = ()

    @property
    def is_stateless(self) -> bool:
        return _is_stateless(self.shown) or self.shown in STATELESS_PATHS


def parts_of(path: str) -> PathParts:
    """Split a path such as `/v1/threads/thread_1/messages`."""
    family, *rest = path.removeprefix("/v1/").rstrip("/").split("/")
    words = WORDS.get(family)
    ids, shown, doubtful = [], [family[:40]], []
    is_stateless = _is_stateless("/".join([family, *rest]))
    for part in rest:
        is_word = WORD.fullmatch(part) is not None if words is None else part in words
        if is_word or is_stateless or (family == "responses" and part in ("compact", "input_tokens")):
            shown.append(part[:40])
            doubtful += [part] if words is None and not is_stateless else []
        else:
            ids.append(part)
            shown.append("*")
    return PathParts(family, tuple(ids), "/".join(shown[:8]), tuple(doubtful))


def _is_stateless(path: str) -> bool:
    family, *rest = path.split("/")
    return "/".join([family, *rest[:1]]) in STATELESS_SOUND if family == SOUND else family in STATELESS


def mapped(paths: Mapping[str, str], path: str) -> str:
    """Return the backend that `[routing] paths` names for a path, or "". Of several patterns the longest counts."""
    fitting = [pattern for pattern in paths if matches(path, pattern)]
    return paths[max(fitting, key=len)] if fitting else ""


def check_segments(path: str) -> None:
    """Raise `NotFound` for a path that leads elsewhere at the backend than it seems to."""
    parts = path.removeprefix("/v1/").rstrip("/").split("/")
    if any(part in ("", ".", "..") or not part.isprintable() or "\\" in part or "%" in part for part in parts):
        raise NotFound(f"{path[:100]!r} does not exist.")
