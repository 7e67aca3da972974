"""One value that holds all parts that load after the start. The stages of a request are built from this value."""

from msgspec import Struct

from gateway.context.retrieve import Embed
from gateway.context.store.collections import Collections
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.library.library import Library
from gateway.prompt.library.pools import Pools


class Loaded(Struct, frozen=True):
    """The parts that load after the start. A part is None while it is loading. It stays None if loading failed or if
    the part is not configured.
    """

    library: Library | None = None
    pools: Pools | None = None
    classifier: Classifier | None = None
    embed: Embed | None = None
    collections: Collections | None = None


NOTHING = Loaded()
