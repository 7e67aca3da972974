"""Builds the text of a chunk for the word index. It consists of the document's label, the heading path, the placement
(a line that a model wrote, see `ingest/placement.py`) and the chunk. The embedder gets the same text without the label.
"""

import re

LABEL_CHARS = 80
ENDING = re.compile(r"\.(?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,5}$")
GAPS = re.compile(r"[\s_\-+.]+")


def label_of(name: str) -> str:
    """Return the words of a file's name, without its folders and its ending. For `contracts/acme-2024.pdf` the result
    is `acme 2024`.

    In a collection of similar documents, the name may be the only sign of the document to which a chunk belongs.
    """
    bare = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return GAPS.sub(" ", ENDING.sub("", bare)).strip()[:LABEL_CHARS].rstrip()


def indexed(label: str, heading: str, text: str, placement: str = "") -> str:
    """Return the text of a chunk for the word index. If the heading path begins with the label, the label is not
    repeated.
    """
    if heading.casefold().startswith(label.casefold()):
        label = ""
    return "\n".join(part for part in (label, heading, placement, text) if part)
