"""Aliases of models (`[routing] aliases`), and the model for unknown names (`[routing] unknown`)."""

from collections.abc import Iterator, Mapping

from gateway.errors import Problem

ANY = "*"


def matches(name: str, pattern: str) -> bool:
    """Whether a model's name matches a pattern, which may end in `*`."""
    return name == pattern or (pattern.endswith(ANY) and name.startswith(pattern[:-1]))


class Aliases:
    """The aliases and the models that they stand for. `unknown` is the model for names that are neither models nor
    aliases, or "".
    """

    def __init__(self, aliases: Mapping[str, str] | None = None, unknown: str = "") -> None:
        self.models = dict(aliases or {})
        self.unknown = unknown
        # the longest pattern that matches a name is the one that was meant
        self._patterns = sorted((alias for alias in self.models if alias.endswith(ANY)), key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self.models or self.unknown)

    def of(self, name: str) -> str:
        """Return the alias that matches a model's name, or "" if there is none. An alias can be a name or a pattern."""
        if name in self.models:
            return name
        return next((alias for alias in self._patterns if matches(name, alias)), "")

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (alias, model) for each alias that is not a pattern."""
        return ((alias, model) for alias, model in self.models.items() if not alias.endswith(ANY))

    def problems(self, file: str, known: frozenset[str]) -> Iterator[Problem]:
        """Yield the mistakes in the names of the aliases. `known` has the names of all models."""
        for alias in self.models:
            where = f"{file} [routing.aliases] {alias!r}"
            if alias == ANY:
                yield Problem(where, "takes every name", 'Write unknown = "..." in [routing] instead.')
            elif alias in ("", "auto"):
                yield Problem(where, "stands for no model", 'Write default = "..." in [routing] instead.')
            elif alias in known:
                yield Problem(where, "is the name of a model", "Give the alias another name, or leave it out.")
