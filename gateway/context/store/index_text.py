"""The text of a chunk for the word index: the document's label, the heading path, and the chunk. The embedder gets the
same without the label."""

import re

LABEL_CHARS = 80
ENDING = re.compile(r"\.(?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,5}$")
GAPS = re.compile(r"[\s_\-+.]+")


def label_of(name: str) -> str:
    """Return the words of a file's name without its folders and its ending: `acme 2024` for `contracts/acme-2024.pdf`.

    If a collection has many similar documents, only the name may tell which document a chunk belongs to.
    """
    bare = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return GAPS.sub(" ", ENDING.sub("", bare)).strip()[:LABEL_CHARS].rstrip()


def indexed(label: str, heading: str, text: str) -> str:
    """Return the text of a chunk for the index. If the heading path begins with the label, the label is left out."""
    if heading.casefold().startswith(label.casefold()):
        label = ""
    return "\n".join(part for part in (label, heading, text) if part)
