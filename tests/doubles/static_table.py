"""The table that is distilled from the sentence model. It takes half a minute, so all tests share one."""

import shutil
from pathlib import Path

from gateway.context.embedding.sentence import DEFAULT_MODEL, SentenceEmbedder
from gateway.context.embedding.static import load_static
from gateway.resources import locate

KEPT = Path(__file__).parents[2] / ".pytest_cache" / "embedded"


def place_static(data_folder: Path) -> None:
    """Put the table where a gateway with this data folder looks for it."""
    load_static(SentenceEmbedder("minilm", locate(DEFAULT_MODEL, Path.cwd())), KEPT)
    shutil.copytree(KEPT / "static", data_folder / "static", dirs_exist_ok=True)
