"""What sentences, labels and axes call things: the words of a study, and sizes instead of names of probes.

Analyses and questions speak of images of people. Inside ``with speaking(words)`` whatever a report shows
says ``words`` instead: `said` turns a text, `said_in_html` the texts of a page. Charts and pages pass through
them where they are drawn, so no sentence is written twice. Names of models, probes, people and images are
never touched.
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from embedlab.errors import UserError, checked_word

Words = Mapping[str, str]

OF_HOUSE: Mapping[str, tuple[str, ...]] = {
    "identity": ("person",),
    "identities": ("people", "persons"),
    "item": ("image", "photograph", "photo", "face"),
    "items": ("images", "photographs", "photos", "faces"),
    "sharp": ("sharp",),
    "blurred": ("blurred",),
    "blur": ("blur",),
}
"""What a study may call otherwise → the words that stand for it where it does not."""

SEVERAL = {"identity": "identities", "item": "items"}
LONGEST = 40

_EDGES = (r"(?<![\w@/&#.\\-])", r"(?![\w@/\\]|[-.]\w)")
_ARTICLE = r"(?:(?P<article>[Aa]n?)(?P<gap>\s+))?"
# A word that begins with these is spoken with a consonant, and one with those without.
_SPOKEN_Y = re.compile(r"(?:uni(?!n|m)|us[aeiu]|eu|one\b|once)", re.IGNORECASE)
_SILENT_H = re.compile(r"(?:hour|heir|honou?r|honest)", re.IGNORECASE)
# Of letters that are spelt, as in X-ray and MRI, these begin with a vowel.
_SPELT = re.compile(r"[AEFHILMNORSX](?:[-A-Z]|$)")
# A script or style as a whole, a tag, or text.
_PIECE = re.compile(r"<(script|style|code|pre|textarea)\b.*?</\1>|<[^>]*>|[^<]+", re.DOTALL)
_TAG = re.compile(r"<(/?)([a-z0-9]+)")
_SPOKEN_ATTRIBUTE = re.compile(
    r'(?P<name>\b(?:aria-label|alt|title|placeholder|data-(?:copy|find|items?))=")(?P<text>[^"]*)"'
)
# Elements that have no end of their own.
_VOID = ("br", "img", "input", "meta", "link", "hr", "path")
AS_WRITTEN = "data-as-written"
"""The attribute of an element whose texts are somebody's own: what it holds is not reworded."""


def checked(words: Mapping[str, Any], where: str) -> dict[str, str]:
    """Check the words of a study.

    Parameters
    ----------
    words
        What is called otherwise → what it is called, as ``{"identity": "speaker", "item": "utterance"}``.
    where
        Where they stand, to begin the message.

    Raises
    ------
    UserError
        If a key is unknown, or a word is none.
    """
    if unknown := sorted(set(words) - set(OF_HOUSE)):
        raise UserError(f"{where}: unknown word {unknown[0]!r}: a study may name {', '.join(OF_HOUSE)}")
    for key, word in words.items():
        if not isinstance(word, str) or not word.strip() or len(word) > LONGEST:
            raise UserError(f'{where}: {key} must be a word of at most {LONGEST} letters, such as "speaker"')
        checked_word(word, f"{where}: {key}")
    return {key: " ".join(word.split()) for key, word in words.items()}


def several(word: str) -> str:
    """Give the plural of a regular noun; others are told by ``identities`` and ``items``."""
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search(r"(?:s|x|z|ch|sh)$", word) else f"{word}s"


@dataclass(frozen=True)
class Wording:
    """The words of a block, and the names in which nothing is a word.

    Attributes
    ----------
    words
        As ``checked`` gives them.
    names
        Names of models, probes, people and images.
    """

    words: Words = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    @cached_property
    def _becomes(self) -> dict[str, str]:
        words = dict(self.words)
        for one, more in SEVERAL.items():
            if one in words:
                words.setdefault(more, several(words[one]))
        return {of_house: words[key] for key in words for of_house in OF_HOUSE[key]}

    @cached_property
    def _house(self) -> re.Pattern[str]:
        return re.compile(_EDGES[0] + _either(self._becomes) + _EDGES[1], re.IGNORECASE)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Find names, words that stand already, and words of the house; what comes first is left as it is."""
        kept = {one for one in self.names if self._house.search(one)}
        kept |= {html.escape(one) for one in kept}
        own = _either({*self._becomes.values()})
        left = f"(?P<kept>{_either(kept)}|{own}{_EDGES[1]})|" if kept else f"(?P<kept>{own}{_EDGES[1]})|"
        words = f"{_ARTICLE}(?P<word>{_either(self._becomes)})(?P<of>['’]s)?{_EDGES[1]}"
        return re.compile(f"{_EDGES[0]}(?:{left}{words})", re.IGNORECASE)

    def said(self, text: str) -> str:
        """Say a text in these words."""
        if not self.words or text in self.names or not self._house.search(text):
            return text
        return self._pattern.sub(self._put, text)

    def _put(self, found: re.Match[str]) -> str:
        if found["kept"]:
            return found[0]
        word = self._becomes[found["word"].lower()]
        if found["word"][0].isupper() and not found["article"]:
            word = word[0].upper() + word[1:]
        if found["of"]:
            word += found["of"][0] if word.endswith("s") else found["of"]
        if not found["article"]:
            return word
        article = "an" if _sounds_open(word) else "a"
        return f"{article.capitalize() if found['article'][0] == 'A' else article}{found['gap']}{word}"


def _either(words: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(one) for one in sorted(words, key=len, reverse=True)) + ")"


def _sounds_open(word: str) -> bool:
    if _SILENT_H.match(word) or _SPELT.match(word):
        return True
    return word[:1].lower() in "aeiou" and not _SPOKEN_Y.match(word)


_PLAIN = Wording()
_wording: ContextVar[Wording] = ContextVar("embedlab_wording", default=_PLAIN)


@contextmanager
def speaking(words: Words, names: Iterable[str] = ()) -> Iterator[None]:
    """Let everything that is shown in the block say the words of a study.

    Parameters
    ----------
    words
        As ``checked`` gives them; none change nothing.
    names
        Names of models, probes, people and images, which stay as they are.
    """
    token = _wording.set(Wording(dict(words), frozenset(names)) if words else _PLAIN)
    try:
        yield
    finally:
        _wording.reset(token)


@contextmanager
def naming(names: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Leave further names as they are; they are only gathered where there are words to be said."""
    now = _wording.get()
    with speaking(now.words, now.names.union(names()) if now.words else ()):
        yield


def spoken() -> Words:
    """Give the words of the block."""
    return _wording.get().words


def said(text: str) -> str:
    """Say a text in the words of the block."""
    return _wording.get().said(text)


def said_in_html(page: str) -> str:
    """Say the texts of a page in the words of the block, and those of attributes that are read out.

    Code, scripts, and elements with the attribute ``AS_WRITTEN`` stay as they are. All text is escaped.
    """
    now = _wording.get()
    if not now.words:
        return page
    now = Wording({key: html.escape(word) for key, word in now.words.items()}, now.names)
    made: list[str] = []
    closed: list[str] = []
    for piece in _PIECE.finditer(page):
        text = piece[0]
        tag = None if piece[1] else _TAG.match(text)
        if closed:
            if tag is not None and tag[2] == closed[0] and not text.endswith("/>"):
                closed = closed[:-1] if tag[1] else [*closed, tag[2]]
        elif tag is not None:
            if AS_WRITTEN in text and not tag[1] and tag[2] not in _VOID:
                closed = [tag[2]]
            else:
                text = _SPOKEN_ATTRIBUTE.sub(lambda found: f'{found["name"]}{now.said(found["text"])}"', text)
        elif not text.startswith("<"):
            text = now.said(text)
        made.append(text)
    return "".join(made)


_CROSSED = re.compile(r"\b([Oo])n ([\w.@+-]+) × ([\w.@+-]+)")
_SHRUNK = re.compile(r"(?P<data>[^@]+)@(?P<pixels>[0-9]{1,6})")


def sized(text: str, probes: Sequence[str]) -> str:
    """Say of the probes of a sentence how large their images are: "faces@32" becomes "faces at 32 px".

    Where all probes show the same images, "on faces@32" and "of faces@32" are just "at 32 px". Where a study
    calls items something else, they have no pixels, and names stay.

    Parameters
    ----------
    text
        A sentence.
    probes
        The probes that it can name; others stay as they are.
    """
    # A place of two probes is no place to be on.
    text = _CROSSED.sub(lambda one: f"{'B' if one[1] == 'O' else 'b'}etween {one[2]} and {one[3]}", text)
    shrunk = {one: found for one in probes if (found := _SHRUNK.fullmatch(one)) and found["pixels"] != "0"}
    if not shrunk or "item" in spoken():
        return text
    alone = len({one.partition("@")[0] for one in probes}) == 1
    probe = rf"(?<![\w@.+-])(?P<probe>{_either(shrunk)})(?![\w@+-]|\.\w)"
    named = re.compile(rf"(?P<on>\b(?:[Oo]n|of|to) )?{probe}(?P<onto> onto )?")

    def put(one: re.Match[str]) -> str:
        data, size = shrunk[one["probe"]]["data"], f"{shrunk[one['probe']]['pixels']} px"
        on, onto = one["on"] or "", one["onto"] or ""
        if on == "to " and alone and text[: one.start()].endswith(f"rom {data} "):
            return f"to {size}{onto}"
        if on and on != "to " and alone and not onto:
            return f"{'At' if on[0] == 'O' else 'at'} {size}"
        return f"{on}{data} at {size}{onto}"

    return named.sub(put, text)
