"""HTML as a document: what a reader of the page sees, with its headings, and nothing hidden."""

import re

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from gateway.context.reading.document import Document, Heading

INVISIBLE = {"script", "style", "noscript", "template", "head", "svg", "iframe", "object", "select", "button"}
HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|(font-size|opacity)\s*:\s*0(?![.\d])", re.IGNORECASE)
# fmt: off
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li",
    "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "thead", "tr", "ul",
}
# fmt: on
LEVELS = {f"h{level}": level for level in range(1, 7)}


class _HtmlText:
    """Collects the text; blocks are set apart by one empty line, and runs of white space are one space."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.headings: list[Heading] = []
        self.gap = ""

    def write(self, text: str) -> None:
        if not text:
            return
        if self.gap and self.length:
            self._append(self.gap)
        self.gap = ""
        self._append(text)

    def words(self, text: str) -> None:
        """Inline text: leading and trailing white space is a gap of one space at most."""
        if text[:1].isspace():
            self.gap = self.gap or " "
        self.write(" ".join(text.split()))
        if text[-1:].isspace() and text.strip():
            self.gap = " "

    def block(self, gap: str = "\n\n") -> None:
        self.gap = max(self.gap, gap, key=lambda mark: mark.count("\n"))

    def heading(self, level: int, title: str) -> None:
        self.block()
        start = self.length + (len(self.gap) if self.length else 0)
        self.headings.append(Heading(start, level, title))
        self.write(title)
        self.block()

    def _append(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)


def html_document(raw: bytes) -> Document:
    """The visible text of a page. The encoding is told by the page itself or guessed."""
    text = _HtmlText()
    _walk(BeautifulSoup(raw, "lxml"), text)
    return Document("".join(text.parts), tuple(text.headings))


def _walk(tag: Tag, text: _HtmlText) -> None:
    for child in tag.children:
        if isinstance(child, Tag):
            _element(child, text)
        elif _is_text(child):
            text.words(str(child))


def _element(tag: Tag, text: _HtmlText) -> None:
    if _hidden(tag):
        return
    if tag.name in LEVELS:
        title = " ".join(_visible(tag).split())
        if title:
            text.heading(LEVELS[tag.name], title)
    elif tag.name == "br":
        text.block("\n")
    elif tag.name == "pre":
        text.block()
        text.write(_visible(tag).strip("\n"))
        text.block()
    elif tag.name in ("td", "th"):
        _walk(tag, text)
        text.gap = text.gap if "\n" in text.gap else " | "
    elif tag.name in BLOCKS:
        text.block("\n" if tag.name in ("li", "tr", "dd") else "\n\n")
        if tag.name == "li":
            text.write("- ")
        _walk(tag, text)
        text.block("\n" if tag.name in ("li", "tr", "dd") else "\n\n")
    else:
        _walk(tag, text)


def _visible(tag: Tag) -> str:
    """The text of an element as it stands, without its hidden parts."""
    if _hidden(tag):
        return ""
    return "".join(
        _visible(child) if isinstance(child, Tag) else str(child)
        for child in tag.children
        if isinstance(child, Tag) or _is_text(child)
    )


def _is_text(node: PageElement) -> bool:
    """Comments, declarations and the like are no text."""
    return isinstance(node, NavigableString) and not isinstance(node, PreformattedString)


def _hidden(tag: Tag) -> bool:
    return (
        tag.name in INVISIBLE
        or tag.has_attr("hidden")
        or tag.get("aria-hidden") == "true"
        or HIDING.search(str(tag.get("style") or "")) is not None
    )
