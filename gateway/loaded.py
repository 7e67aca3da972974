"""Holds the parts that are loaded late in one value, from which the stages of a request are built."""

from msgspec import Struct

from gateway.context.retrieve import Embed
from gateway.context.store.collections import Collections
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.library.library import Library
from gateway.prompt.library.pools import Pools


class Loaded(Struct, frozen=True):
    """The parts that are loaded late. A part is None if it is still loading, could not be loaded, or is not
    configured."""

    library: Library | None = None
    pools: Pools | None = None
    classifier: Classifier | None = None
    embed: Embed | None = None
    collections: Collections | None = None


NOTHING = Loaded()
