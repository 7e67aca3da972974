"""The tables of a configuration that have mistakes, so that names in them are not reported as unknown too."""

from msgspec import Struct

from gateway.backends.routing.aliases import matches


class BrokenParts(Struct, frozen=True):
    """The tables of the configuration that have mistakes. `models` are the model names and patterns in them.

    `may_be_any` is true if a table names no models, since its backend may then serve any model.
    """

    backends: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    may_be_any: bool = False

    def may_serve(self, name: str) -> bool:
        return self.may_be_any or any(matches(name, pattern) for pattern in self.models)


NOTHING_BROKEN = BrokenParts()
