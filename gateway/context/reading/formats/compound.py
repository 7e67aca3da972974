"""Takes the workbook out of an XLS file, and packs it alone into a new file.

An XLS file is a small file system. calamine follows its chains of sectors without end where a damaged file has a
cycle; olefile does not. So olefile reads the file, and calamine gets one that is certainly sound.
"""

import struct
from io import BytesIO

SECTOR = 4096
LEAST = 4096
"""Shorter streams are stored in another way, so the stream is filled up with zeros."""
FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
MOST_FAT_SECTORS = 109
SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ROOT, STREAM = 5, 2


def workbook_stream(raw: bytes) -> bytes:
    """Return the records of the workbook. Raises `ValueError` if the file holds none."""
    import olefile

    with olefile.OleFileIO(BytesIO(raw)) as file:
        for name in ("Workbook", "Book"):
            if file.exists(name):
                content: bytes = file.openstream(name).read()
                return content
    raise ValueError("holds no workbook")


def repacked(content: bytes) -> bytes:
    """Return an XLS file that holds only these records."""
    content = content.ljust(LEAST, b"\0")
    data = -(-len(content) // SECTOR)
    tables = -(-(data + 1) // (SECTOR // 4 - 1))
    if tables > MOST_FAT_SECTORS:
        raise ValueError("is too long")
    first = tables + 1
    chain = [FAT] * tables + [END] + [first + place + 1 for place in range(data - 1)] + [END]
    table = struct.pack(f"<{len(chain)}I", *chain).ljust(tables * SECTOR, b"\xff")
    # calamine refuses a root without a first sector, which holds short streams; here it holds none
    folder = _entry("Root Entry", ROOT, 1, first, 0) + _entry("Workbook", STREAM, FREE, first, len(content))
    folder += _entry("", 0, FREE, 0, 0) * (SECTOR // 128 - 2)
    return _header(tables) + table + folder + content.ljust(data * SECTOR, b"\0")


def _header(tables: int) -> bytes:
    sizes = struct.pack("<16xHHHHH6xII", 0x3E, 4, 0xFFFE, 12, 6, 1, tables)
    places = struct.pack("<IIIIIII", tables, 0, LEAST, END, 0, END, 0)
    listed = [*range(tables), *[FREE] * (MOST_FAT_SECTORS - tables)]
    return (SIGNATURE + sizes + places + struct.pack(f"<{MOST_FAT_SECTORS}I", *listed)).ljust(SECTOR, b"\0")


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    coded = name.encode("utf-16-le")
    length = len(coded) + 2 if name else 0
    return coded.ljust(64, b"\0") + struct.pack("<HBBIII36xIQ", length, kind, 1, FREE, FREE, child, start, size)
