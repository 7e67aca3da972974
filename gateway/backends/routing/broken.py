"""The tables of a configuration that have mistakes. Names that such a table may define are not reported as unknown."""

from msgspec import Struct

from gateway.backends.routing.aliases import matches


class BrokenParts(Struct, frozen=True):
    """The tables of the configuration that have mistakes. `models` has the names and patterns of models in these
    tables. `may_be_any` is true if a broken backend's table lists no models, since the backend may then serve any
    model.
    """

    backends: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    may_be_any: bool = False

    def may_serve(self, name: str) -> bool:
        return self.may_be_any or any(matches(name, pattern) for pattern in self.models)


NOTHING_BROKEN = BrokenParts()
