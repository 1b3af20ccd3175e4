"""The words of the trade: one list, for the page, the notebook and ``docs/glossary.md``.

The words stand in ``glossary.toml``. A page marks the first time of a word in each block and links it to
the list at its end; names that come from data are never marked, whatever they are.
"""

import html
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from embedlab.analysis import Result
from embedlab.charts import Chart, Faces, Scatter

NAMING = (
    *("identities", "items", "names", "faces", "person", "globe_people", "globe_items", "suspects", "hubs"),
    *("missing_items", "contradicted_items"),
)
"""Fields of results that hold names of people or images."""

# Within these nothing is marked: what is a link or a button already, what is no prose, headings and data.
CLOSED = frozenset(
    (
        "a",
        "button",
        "code",
        "h1",
        "h2",
        "h3",
        "h4",
        "option",
        "pre",
        "summary",
        "svg",
        "td",
        "textarea",
        "thead",
    )
)
# A piece of a page: a script or style as a whole, a tag, or text. Attributes hold no ">", which is escaped.
_PIECE = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>|[^<]+", re.DOTALL)
_TAG = re.compile(r"<(/?)([a-z0-9]+)")
# Each answer and each section is a block of its own.
_BLOCK = re.compile(r'\bid="(?:answer|section)-')
_EDGE = (r"(?<![\w@′/&#.-])", r"(?![\w@/′]|[-.]\w)")


@dataclass(frozen=True)
class Term:
    """A word and its meaning.

    Attributes
    ----------
    word
        As the list has it.
    text
        What it means, in at most 30 words.
    also
        Other ways of writing it, as regular expressions.
    link
        Its name in an address; made of the word where none is given.
    """

    word: str
    text: str
    also: tuple[str, ...] = ()
    link: str = ""

    @property
    def anchor(self) -> str:
        """Where the page's list has it."""
        return "term-" + (self.link or re.sub(r"[^a-z0-9]+", "-", self.word.lower()).strip("-"))


@cache
def terms() -> tuple[Term, ...]:
    """Read the glossary, in the order of its words."""
    text = (files("embedlab.report") / "glossary.toml").read_text(encoding="utf-8")
    found = [Term(**{**one, "also": tuple(one.get("also", ()))}) for one in tomllib.loads(text)["term"]]
    return tuple(sorted(found, key=lambda one: (one.word.lstrip("@").lower(), one.word)))


@cache
def _pattern() -> tuple[re.Pattern[str], dict[str, Term]]:
    """Give what finds any word, longest first, and the term of each of its groups."""
    ways = [(re.escape(one.word), one) for one in terms() if one.word not in ("p", "@32")]
    ways += [(other, one) for one in terms() for other in one.also]
    ways.sort(key=lambda way: -len(way[0]))
    groups = {f"t{k}": one for k, (_, one) in enumerate(ways)}
    either = "|".join(f"(?P<t{k}>{way})" for k, (way, _) in enumerate(ways))
    return re.compile(f"{_EDGE[0]}(?:{either}){_EDGE[1]}"), groups


@cache
def _stems() -> tuple[str, ...]:
    """Give literal beginnings of all ways of writing a word: text that holds none of them holds no word."""
    ways = [one.word for one in terms() if one.word != "p"] + [way for one in terms() for way in one.also]
    found = {re.split(r"\w?[?*]|[(\[\\]", way)[0] for way in ways} - {"", "p"}
    return (*sorted(one for one in found if not any(one != other and other in one for other in found)), "p ")


def _may_hold(text: str) -> bool:
    return any(stem in text for stem in _stems())


@dataclass
class Marker:
    """Marks words in HTML and remembers which.

    Attributes
    ----------
    names
        Names of models, probes, people and images, in which nothing is marked.
    as_link
        Whether a word becomes a link to the page's list, or, without a list, an ``abbr`` of its own.
    used
        The terms that were marked so far.
    """

    names: Iterable[str] = ()
    as_link: bool = True
    used: dict[str, Term] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Of thousands of names only those count in which a word would be marked.
        pattern, _ = _pattern()
        risky = {
            str(name)
            for name in self.names
            if _may_hold(f"{name} =") and pattern.search(html.escape(f"{name} ="))
        }
        self._known = tuple(sorted(map(html.escape, risky), key=lambda name: (-len(name), name)))

    def __call__(self, page: str) -> Any:
        """Mark the first occurrence of each word in each block of some HTML, of which all text is escaped."""
        from markupsafe import Markup

        made, used = _marked(str(page), self._known, self.as_link)
        self.used |= {term.anchor: term for term in used}
        return Markup(made)

    def listed(self) -> list[Term]:
        """Give the terms that were marked, in the order of their words."""
        return [one for one in terms() if one.anchor in self.used]


# A report that grows is written again and again, and most of its sections are as they were.
@lru_cache(maxsize=64)
def _marked(page: str, known: tuple[str, ...], as_link: bool) -> tuple[str, tuple[Term, ...]]:
    """Mark words but those in names, the longest of which come first; and say which were marked."""
    named = re.compile("|".join(map(re.escape, known))) if known else None
    pattern, groups = _pattern()
    made: list[str] = []
    used: dict[str, Term] = {}
    seen: set[str] = set()
    closed: list[str] = []

    def marked(text: str) -> str:
        if not _may_hold(text):
            return text
        spans = [found.span() for found in named.finditer(text)] if named else []

        def put(found: re.Match[str]) -> str:
            term = groups[str(found.lastgroup)]
            start, end = found.span()
            if term.anchor in seen or any(start < high and end > low for low, high in spans):
                return found[0]
            seen.add(term.anchor)
            used[term.anchor] = term
            if as_link:
                return f'<a class="term" href="#{term.anchor}">{found[0]}</a>'
            return f'<abbr title="{html.escape(term.text)}" tabindex="0">{found[0]}</abbr>'

        return pattern.sub(put, text)

    for piece in _PIECE.finditer(page):
        text = piece[0]
        tag = None if piece[1] else _TAG.match(text)
        if tag is None and not text.startswith("<"):
            made.append(text if closed else marked(text))
            continue
        if tag is not None and tag[1]:
            if closed and closed[-1] == tag[2]:
                closed.pop()
        elif tag is not None:
            if tag[2] in CLOSED:
                closed.append(tag[2])
            if _BLOCK.search(text):
                seen.clear()
        made.append(text)
    return "".join(made), tuple(used.values())


def names_in(results: Iterable[Result], charts: Iterable[Chart]) -> set[str]:
    """Gather the names of people and images that some results and charts hold."""
    found: set[str] = set()
    for result in results:
        for name in NAMING:
            _gather(getattr(result, name, ()), found.add)
        found.add(result.title)
    for chart in charts:
        if isinstance(chart, Scatter):
            for held in (chart.people, chart.items):
                _gather(() if held is None else held, found.add)
            found.update(chart.group_names)
        elif isinstance(chart, Faces):
            for _, faces in chart.rows:
                for face in faces:
                    found.update((face.person, face.item))
    return found


def _gather(value: Any, add: Callable[[str], None]) -> None:
    if isinstance(value, str):
        add(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "UO":
        for one in np.unique(value.astype(str)):
            add(str(one))
    elif isinstance(value, Sequence):
        for one in value:
            _gather(one, add)


def markdown() -> str:
    """Write the glossary for ``docs/``."""
    rows = "\n".join(f"**{one.word}**: {one.text}\n" for one in terms())
    head = "What a report explains where it stands, in one list; `make docs` writes it from "
    return f"# Words of the trade\n\n{head}`embedlab/report/glossary.toml`.\n\n{rows}"
