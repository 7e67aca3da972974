"""Reads HTML pages: the visible text with headings and tables, without menus and banners."""

import codecs
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.context.reading.document import Document
from gateway.context.reading.encodings import DecodedText
from gateway.context.reading.formats.markdown import decode, same_lines, text_report
from gateway.context.reading.table import Table
from gateway.context.reading.writer import DocumentWriter

INVISIBLE = {"script", "style", "noscript", "template", "head", "svg", "iframe", "object", "select", "button"}
HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|(font-size|opacity)\s*:\s*0(?![.\d])", re.IGNORECASE)
# fmt: off
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li",
    "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "thead", "tr", "ul",
}
# fmt: on
CLOSE = {"li", "tr", "dd"}
LEVELS = {f"h{level}": level for level in range(1, 7)}
ASIDE_ROLES = {"navigation", "banner", "search", "menu", "menubar", "dialog", "alertdialog", "complementary"}
ASIDE_NAMES = re.compile(
    r"(?:^|[\s_-])(?:cookies?|consent|gdpr|nav|navbar|navigation|menu|breadcrumbs?|newsletter|share|social|advert|ads?"
    r"|banner|skip-?link|sidebar)(?:$|[\s_-])",
    re.IGNORECASE,
)
CONTENT = {"main", "article", "h1", "body", "html"}
LONGEST_NAMES = 500
LONGEST_LEAD = 300
LINKS = 4
"""A block outside the main content is a menu if it has at least this many links and little other text."""
LINK_SHARE = 0.8
ENOUGH_CHARS = 200
"""A `main` element with fewer characters than this is not taken as the content of the page. Such an element is usually
an empty frame.
"""
DECLARED = re.compile(
    rb"""<(?:meta|\?xml)\s[^>]{0,500}?(?:charset|encoding)\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{1,40})""", re.I
)
WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "ascii": "cp1252", "shift_jis": "cp932"}
"""Maps each narrow encoding to a wider encoding that includes it. A page that declares the narrow encoding is decoded
with the wider one.
"""
DECLARED_WITHIN = 4096


class Sums(Struct, frozen=True):
    """Totals of an element. `chars` is the number of characters of text, `links` the number of links, and `linked` the
    number of characters inside links. `main` tells whether the element contains main content, and `prose` whether it
    contains a paragraph or a table.
    """

    chars: int = 0
    links: int = 0
    linked: int = 0
    main: bool = False
    prose: bool = False


def read_html(path: Path, raw: bytes) -> Document:
    text = page_text(path, raw)
    return html_document(text)


def html_document(text: DecodedText, kind: str = "HTML") -> Document:
    """Convert the content of a page to a document."""
    from lxml import html

    report = text_report(kind, text)
    writer = DocumentWriter()
    parser: Any = html.HTMLParser(encoding="utf-8", huge_tree=False)
    root: Any = html.document_fromstring(text.text.encode("utf-8", "replace") or b"<html></html>", parser=parser)
    page = _Page(writer, _sums(root))
    title = root.findtext(".//title") or ""
    if title.strip() and root.find(".//h1") is None:
        writer.heading(1, title)
    page.walk(_main(root, page.sums))
    for what in report.left_out:
        writer.leave_out(what)
    document = writer.document(kind, report.encoding, report.certainty)
    only_title = document.headings and document.text.strip() == document.headings[0].title
    return DocumentWriter().document(kind) if only_title and len(document.headings) == 1 and not page.seen else document


def page_text(path: object, raw: bytes) -> DecodedText:
    """Decode a page with the encoding that the page declares. If the page declares none, or its bytes are not valid in
    that encoding, the encoding is detected.
    """
    declared = DECLARED.search(raw[:DECLARED_WITHIN])
    if declared and b"\0" not in raw:
        try:
            name = codecs.lookup(declared[1].decode("ascii", "replace")).name
            text = same_lines(raw.decode(WIDER.get(name, name)))
        except (LookupError, UnicodeError):
            return decode(path, raw)
        return DecodedText(text, name)
    return decode(path, raw)


def _main(root: Any, sums: Mapping[Any, Sums]) -> Any:
    """Return the element with the content of the page. This is the `main` element if it has enough text, or else the
    root.
    """
    mains = [element for element in root.iter() if element.tag == "main" or element.get("role") == "main"]
    if len(mains) == 1 and sums[mains[0]].chars >= ENOUGH_CHARS:
        return mains[0]
    return root


class _Page:
    """Reads the elements of a page. Hidden elements, menus and banners are skipped."""

    def __init__(self, writer: DocumentWriter, sums: Mapping[Any, Sums]) -> None:
        self.writer = writer
        self.sums = sums
        self.seen = False
        """Whether the page has text besides its title."""

    def walk(self, element: Any, inside: bool = False) -> None:
        """Write the content of an element. `inside` is true within the main content. A list of links is content there,
        and a menu elsewhere.
        """
        self._words(element.text)
        for child in element:
            if isinstance(child.tag, str):
                self._element(child, inside)
            self._words(child.tail)

    def _words(self, text: str | None) -> None:
        if text:
            self.seen = self.seen or bool(text.strip())
            self.writer.words(text)

    def _element(self, element: Any, inside: bool) -> None:
        name, writer = element.tag, self.writer
        if _hidden(element):
            return
        if not inside and _is_aside(element, self.sums):
            writer.leave_out("menus and banners")
            return
        inside = inside or name in ("main", "article", "p", "table")
        if name in LEVELS:
            self.seen = True
            writer.heading(LEVELS[name], _visible(element))
        elif name == "br":
            writer.block("\n")
        elif name == "img":
            self._picture(element)
        elif name == "pre":
            writer.block()
            writer.write(_visible(element).strip("\n"))
            writer.block()
            self.seen = True
        elif name == "table" and not _is_layout(element):
            self.seen = True
            writer.table(_table(element))
        elif name in ("ul", "ol"):
            self._list(element, inside)
        elif name in ("td", "th"):
            self.walk(element, inside)
            writer.gap = writer.gap if "\n" in writer.gap else " | "
        elif name in BLOCKS:
            gap = "\n" if name in CLOSE else "\n\n"
            writer.block(gap)
            if name == "li":
                writer.write("- ")
            self.walk(element, inside)
            writer.block(gap)
        else:
            self.walk(element, inside)

    def _picture(self, element: Any) -> None:
        description = " ".join((element.get("alt") or "").split())
        self.writer.picture()
        if description:
            self._words(f" [Picture: {description}] ")

    def _list(self, element: Any, inside: bool) -> None:
        """Write a list. If the line before the list ends with a colon, each chunk of the list repeats that line."""
        before = element.getprevious()
        short = before is not None and isinstance(before.tag, str) and self.sums[before].chars < LONGEST_LEAD
        line = " ".join(_visible(before).split()) if short else ""
        self.writer.block("\n" if element.getparent().tag == "li" else "\n\n")
        start = self.writer.start
        self.walk(element, inside)
        if line.endswith((":", "：")):
            self.writer.lead(start, line)
        self.writer.block("\n" if element.getparent().tag == "li" else "\n\n")


def _is_aside(element: Any, sums: Mapping[Any, Sums]) -> bool:
    """Whether an element outside the main content is a menu or a banner."""
    name, own = element.tag, sums[element]
    if name == "nav" or element.get("role") in ASIDE_ROLES or element.get("aria-modal") == "true":
        return True
    if name in CONTENT or name not in BLOCKS or own.main:
        return False
    names = f"{element.get('id') or ''} {element.get('class') or ''}"[:LONGEST_NAMES]
    if ASIDE_NAMES.search(names):
        # an element with most of its parent's text is content, whatever its name
        parent = element.getparent()
        return own.chars <= ENOUGH_CHARS or parent is None or own.chars * 2 <= sums[parent].chars
    menu = own.links >= LINKS and not own.prose and own.linked > LINK_SHARE * own.chars
    return name in ("div", "ul", "ol", "footer", "header", "section", "aside") and menu


def _sums(root: Any) -> "dict[Any, Sums]":
    """Return the totals of all elements. A single pass computes them, from the innermost elements outwards."""
    from lxml import etree

    sums: dict[Any, Sums] = {}
    for _, element in etree.iterwalk(root, events=("end",)):
        name = element.tag if isinstance(element.tag, str) else ""
        chars = len((element.text or "").strip()) if name else 0
        links, linked, main, prose = 0, 0, name in ("h1", "main", "article"), name in ("p", "table")
        for child in element:
            own = sums[child] if child in sums else Sums()
            chars += own.chars + len((child.tail or "").strip())
            links, linked = links + own.links, linked + own.linked
            main, prose = main or own.main, prose or own.prose
        sums[element] = (
            Sums(chars, links + 1, chars, main, prose) if name == "a" else Sums(chars, links, linked, main, prose)
        )
    return sums


def _is_layout(table: Any) -> bool:
    """Whether a table is used only for the layout of the page."""
    if table.get("role") in ("presentation", "none"):
        return True
    return any(table.find(f".//{name}") is not None for name in ("table", "h1", "h2", "h3", "ul", "form", "pre"))


def _table(element: Any) -> Table:
    caption = element.find("caption")
    rows: list[list[str]] = []
    tied: list[int] = []
    titles = 0
    open_rows = 0
    for row in element.iter("tr"):
        if _hidden(row):
            continue
        cells: list[str] = []
        elements = [cell for cell in row if cell.tag in ("td", "th") and not _hidden(cell)]
        for cell in elements:
            cells += [_visible(cell), *[""] * (_number(cell.get("colspan")) - 1)]
        heads = bool(elements) and all(cell.tag == "th" for cell in elements)
        titles += (heads or row.getparent().tag == "thead") and titles == len(rows)
        if open_rows > 0:
            tied.append(len(rows))
            # the cell above also covers the first column of this row
            cells = ["", *cells]
        open_rows = max(open_rows - 1, max((_number(cell.get("rowspan")) - 1 for cell in elements), default=0))
        rows.append(cells)
    return Table(rows, _visible(caption) if caption is not None else "", titles or None, tied)


def _number(text: str | None) -> int:
    return min(max(int(text), 1), 1000) if text and text.isdigit() and len(text) < 5 else 1


def _visible(element: Any) -> str:
    """Return the text of an element without its hidden parts."""
    return "" if _hidden(element) else "".join(_texts(element))


def _texts(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if isinstance(child.tag, str) and not _hidden(child):
            yield from _child_texts(child)
        yield child.tail or ""


def _child_texts(child: Any) -> Iterator[str]:
    """Yield the texts of a child element. A blank stands before and after a block element, and a line break stands for
    `<br>`.
    """
    if child.tag == "br":
        yield "\n"
    elif child.tag == "img" and child.get("alt"):
        yield f" [Picture: {child.get('alt')}] "
    elif child.tag in BLOCKS:
        yield " "
        yield from _texts(child)
        yield " "
    else:
        yield from _texts(child)


def _hidden(element: Any) -> bool:
    return (
        element.tag in INVISIBLE
        or "hidden" in element.attrib
        or element.get("aria-hidden") == "true"
        or HIDING.search(element.get("style") or "") is not None
    )
