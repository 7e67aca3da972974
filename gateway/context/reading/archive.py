"""Opens zip files that contain documents. The size of members is limited, and entities in XML are not expanded."""

import io
import zipfile
from typing import TYPE_CHECKING, Any

from gateway.errors import CollectionError

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""The maximum total size of all members. A small zip file, such as a DOCX, can unpack to terabytes."""
MOST_MEMBERS = 20_000


class Archive:
    """A zip file in memory. Raises `CollectionError` if its members unpack to too many bytes."""

    def __init__(self, name: object, raw: bytes) -> None:
        self._name = name
        self._zip = zipfile.ZipFile(io.BytesIO(raw))
        members = self._zip.infolist()
        if len(members) > MOST_MEMBERS:
            raise CollectionError(f"{name}: holds more than {MOST_MEMBERS:,} files")
        if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
            raise CollectionError(f"{name}: unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB")
        self.names = [member.filename for member in members]

    def __contains__(self, member: str) -> bool:
        return member in self.names

    def read(self, member: str) -> bytes:
        # the sizes in the directory may be false, but zipfile never reads more than they say
        return self._zip.read(member)

    def xml(self, member: str) -> "_Element":
        return parsed(self.read(member))


def parsed(raw: bytes) -> "_Element":
    """Parse XML without loading external files or expanding entities."""
    from lxml import etree

    parser: Any = etree.XMLParser(resolve_entities=False, no_network=True, recover=True, huge_tree=False)
    root = etree.fromstring(raw, parser)
    if root is None:
        raise ValueError("holds no XML")
    return root
