"""Types for numbers and texts in a configuration, with their limits."""

from typing import Annotated

from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(gt=0)]
DIGEST_PATTERN = "^([0-9a-fA-F]{64})?$"
Digest = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
