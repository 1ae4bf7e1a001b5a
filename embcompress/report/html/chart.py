"""A chart's frame: axes with ticks and units, and places for what is drawn inside."""

from __future__ import annotations

from dataclasses import dataclass, field

from embcompress.report.figures import Written
from embcompress.report.html.markup import Markup, tag
from embcompress.report.html.scales import Scale


def plain(value: float) -> str:
    """A tick's number in few digits."""
    return "0" if value == 0 else f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e+")


@dataclass(kw_only=True)
class Chart:
    """An SVG picture with a title for those who cannot see it.

    Args:
        title: What it shows.
        told: What is to be seen in it, in a sentence.
        width: Of the picture.
        height: Of the picture.
        left: Room for the vertical axis' numbers.
        top: Room above.
        right: Room to the right.
        bottom: Room for the horizontal axis.
    """

    title: str
    told: str
    width: int = 350
    height: int = 240
    left: int = 48
    top: int = 24
    right: int = 14
    bottom: int = 44
    _inside: list[Markup] = field(default_factory=list)

    def across(self, low: float, high: float, *, log: bool = False, flipped: bool = False) -> Scale:
        """A horizontal scale, with the low end on the right when it is flipped."""
        ends = self.left, self.width - self.right
        return Scale(low, high, ends[flipped], ends[not flipped], log)

    def upward(self, low: float, high: float, *, log: bool = False) -> Scale:
        """A vertical scale."""
        return Scale(low, high, self.height - self.bottom, self.top, log)

    def add(self, *pieces: Markup) -> None:
        """Draw something over what is there."""
        self._inside.extend(pieces)

    def horizontal(self, scale: Scale, label: str, words: Written = plain, count: int = 6) -> None:
        """The axis below."""
        base = self.height - self.bottom
        self.add(line(self.left, base, self.width - self.right, base, "axis"))
        for value in scale.ticks(count):
            x = scale(value)
            self.add(line(x, base, x, base + 4, "axis"))
            self.add(text(x, base + 17, words(value), "tick", "middle"))
        middle = (self.left + self.width - self.right) / 2
        self.add(text(middle, self.height - 8, label, "label", "middle"))

    def above(self, scale: Scale, label: str, words: Written = plain, count: int = 5) -> None:
        """A second axis on top, of the same places in another unit."""
        for value in scale.ticks(count):
            x = scale(value)
            self.add(line(x, self.top - 4, x, self.top, "axis"))
            self.add(text(x, self.top - 8, words(value), "tick", "middle"))
        self.add(text(self.width - self.right, 10, label, "label", "end"))

    def vertical(self, scale: Scale, label: str, words: Written = plain, count: int = 5) -> None:
        """The axis on the left, with lines across."""
        for value in scale.ticks(count):
            y = scale(value)
            self.add(line(self.left, y, self.width - self.right, y, "grid"))
            self.add(text(self.left - 7, y + 4, words(value), "tick", "end"))
        self.add(text(self.left, 10, label, "label", "start"))

    def draw(self) -> Markup:
        """The picture."""
        return tag(
            "svg",
            tag("title", self.title),
            tag("desc", self.told),
            *self._inside,
            viewbox=f"0 0 {self.width} {self.height}",
            role="img",
        )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return tag("line", x1=_at(x1), y1=_at(y1), x2=_at(x2), y2=_at(y2), class_=kind)


def text(x: float, y: float, words: str, kind: str, anchor: str) -> Markup:
    """Words at a place."""
    return tag("text", words, x=_at(x), y=_at(y), class_=kind, text_anchor=anchor)


def bar(x: float, y: float, width: float, height: float, kind: str, told: str) -> Markup:
    """A rectangle that tells its number when it is pointed at."""
    return tag(
        "rect", tag("title", told),
        x=_at(x), y=_at(y), width=_at(max(width, 0)), height=_at(max(height, 0)), class_=kind,
    )  # fmt: skip


def dot(x: float, y: float, radius: float, kind: str, told: str) -> Markup:
    """A point that tells its number when it is pointed at."""
    return tag("circle", tag("title", told), cx=_at(x), cy=_at(y), r=_at(radius), class_=kind)


def curve(points: list[tuple[float, float]], kind: str) -> Markup:
    """Points joined by lines."""
    return tag("polyline", points=" ".join(f"{_at(x)},{_at(y)}" for x, y in points), class_=kind)


def figure(caption: str, picture: Markup, aside: str = "") -> Markup:
    """A chart with its heading and a line about how to read it."""
    return tag(
        "figure",
        tag("figcaption", caption) if caption else None,
        picture,
        tag("p", aside, class_="gloss") if aside else None,
    )


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
