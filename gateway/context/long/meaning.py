"""Judges a task by its meaning in addition to its words. This requires the embedder that was used to train the
classifier.
"""

from msgspec.structs import replace

from gateway.context.long.focus import Embed
from gateway.context.long.shape import RequestShape
from gateway.context.task.head import PROBE, shipped
from gateway.errors import NotReady


async def with_meaning(shape: RequestShape, embed: Embed | None) -> RequestShape:
    """Return the shape with a verdict that is based on words and meaning.

    Returns the shape unchanged if the classifier judges tasks in this language only by words. The same holds if `embed`
    is None, is not ready, or uses a model with which the classifier was not trained.
    """
    head = shipped()
    if embed is None or not shape.task or not any(map(head.knows_meaning, head.units(shape.task))):
        return shape
    units = head.units(shape.task)
    try:
        probe, *_ = vectors = await embed([PROBE, *units])
    except NotReady:
        return shape
    if not head.understands(probe):
        return shape
    return replace(shape, verdict=head.verdict(units, vectors[1:]))
