"""What a page is made of, apart from how it looks: sections of tables, charts and grids of pictures."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from snips_cli.study.report_data import Average

INK = "#123454"
"""What charts are drawn in; a page shows it in its own colour of text."""


@dataclass(frozen=True)
class Value:
    """A cell of a table."""

    text: str
    best: bool = False
    note: str = ""
    """Shown when pointed at."""
    head: bool = False
    """It names its line."""


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[Value]]
    caption: str = ""
    kind: str = "table"


@dataclass(frozen=True, eq=False)
class Chart:
    """A drawing. `name` is that of its files."""

    name: str
    svg: str
    png: bytes
    caption: str
    kind: str = "chart"

    @property
    def inline(self) -> str:
        """The drawing within a page: in its colour, and with names of its own."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        svg = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\1", svg)  # equal pictures have equal names
        svg = re.sub(r'\b(id|xlink:href|href)="(#?)([^":]+)"', rf'\1="\2{self.name}-\3"', svg)
        svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{self.name}-\1)", svg)
        svg = re.sub(
            r'(<svg\b[^>]*?) width="[^"]*"', rf'\1 role="img" aria-label="{_quoted(self.caption)}"', svg, count=1
        )
        svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
        return svg.replace(INK, "currentColor")

    @property
    def width(self) -> int:
        """In CSS pixels, as drawn."""
        found = re.search(r'<svg\b[^>]*\bviewBox="0 0 ([\d.]+)', self.svg)
        return round(float(found[1]) * 96 / 72) if found else 640


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a grid."""

    image: Image.Image
    title: str
    figure: str = ""

    @property
    def source(self) -> str:
        """The picture within a page, exact."""
        stream = io.BytesIO()
        self.image.save(stream, format="WebP", lossless=True, quality=100, method=2)
        return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


@dataclass(frozen=True, eq=False)
class Line:
    name: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, eq=False)
class Grid:
    """Lines of pictures. `name` is that of its file."""

    name: str
    title: str
    lines: Sequence[Line]
    kind: str = "grid"


@dataclass(frozen=True)
class Note:
    """A heading, a paragraph, or a list that opens when asked for."""

    text: str
    items: Sequence[str] = ()
    heading: bool = False
    kind: str = "note"


Part = Table | Chart | Grid | Note


@dataclass(frozen=True)
class Section:
    """`how` says in one sentence how to read it."""

    id: str
    title: str
    how: str
    parts: Sequence[Part] = field(default_factory=tuple)


def number(value: float, digits: int) -> str:
    """With a true minus; a dash for what is unknown."""
    if value != value:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def value(average: Average, digits: int, best: bool = False) -> Value:
    """A mean, and on pointing at it its standard error and the number of pictures."""
    if not average:
        return Value("–")
    error = f"± {number(average.error, digits + 1)}, " if average.count > 1 else ""
    return Value(number(average.mean, digits), best, f"{error}{average.count} picture{'s' * (average.count > 1)}")


def sigma_text(sigma: float) -> str:
    """As in 0.098 (25/255); of n/255 only where n is whole."""
    of_255 = 255 * sigma
    return f"{sigma:.3g} ({round(of_255)}/255)" if abs(of_255 - round(of_255)) < 1e-6 else f"{sigma:.4g}"


def slug(*words: object) -> str:
    """A name for a file."""
    return re.sub(r"[^\w.]+", "-", "-".join(map(str, words)).lower()).strip("-.")


def _quoted(text: str) -> str:
    from html import escape

    return escape(text, quote=True).replace("\\", r"\\")
