"""The people and images of a report in one table, to whose rows the points of its pictures refer.

Names would else stand with each point of each picture, three times over: whom a ring finds, what is told
at the pointer, and in which colour.
"""

import base64
import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from embedlab.charts.base import visible
from embedlab.report.pseudonyms import without_paths

# What stands for the image and for the person of a point in its texts; no text from data holds them.
IMAGE, PERSON = "\x01", "\x02"
# A list of fewer words is left as it is.
FEW = 8


class Items:
    """Everybody whom a picture of a report shows, by image; row 0 is nobody.

    Rows are only added, so that what was drawn once stays true. A picture may know an image without its
    person: the row gets the person from the first picture that knows both.
    """

    def __init__(self) -> None:
        self._rows = [["", ""]]
        self._at = {("", ""): 0}

    def row(self, person: str, item: str) -> int:
        """Give the row of an image of a person; a new one where there is none."""
        found = self._at.get((person, item))
        if found is None:
            found = self._at.get(("", item)) if item else None
            if found is None or (person and self._rows[found][0]):
                found = len(self._rows)
                self._rows.append([person, item])
            self._rows[found][0] = self._rows[found][0] or person
            self._at[person, item] = found
            self._at.setdefault(("", item), found)
        return found

    def brief(self, figure: dict[str, Any]) -> None:
        """Let the traces of a figure refer to rows, and write briefly the words that they hold.

        Parameters
        ----------
        figure
            Plotly JSON as values. ``customdata`` of its traces, person and item of each point, becomes the
            packed rows. Lists of words become ``{"start": what all begin with, "words": the rest}``, and
            where most come again ``words`` are those there are, and ``at`` holds their packed places.
        """
        for trace in figure["data"]:
            who = [(_plain(person), _plain(item)) for person, item in trace.get("customdata", ())]
            if who:
                trace["customdata"] = packed([self.row(*one) for one in who])
            for holder in (trace, trace.get("marker", {})):
                for name in holder.keys() & {"text", "hovertext", "color"}:
                    holder[name] = _words(holder[name], () if name == "color" else who)

    def plain(self) -> str:
        """Write the table as JSON: the people, which of them each row shows, and the images."""
        people = {person: k for k, person in enumerate(dict.fromkeys(person for person, _ in self._rows))}
        whole = {
            "people": list(people),
            "of": packed([people[person] for person, _ in self._rows]),
            "items": [item for _, item in self._rows],
        }
        return json.dumps(whole, separators=(",", ":"))


def packed(numbers: Sequence[int]) -> dict[str, str]:
    """Write whole numbers, none below zero, as plotly packs them: what they are, and base64."""
    array = np.asarray(numbers, dtype=np.int64)
    kind = next(kind for kind in ("u1", "u2", "u4") if array.max(initial=0) <= np.iinfo(kind).max)
    return {"dtype": kind, "bdata": base64.b64encode(array.astype(f"<{kind}").tobytes()).decode()}


def _plain(name: str) -> str:
    return visible(" ".join(without_paths(name).splitlines()))


def _words(values: Any, who: Sequence[tuple[str, str]]) -> Any:
    """Write a list of words briefly: what all begin with once, and each once if many come again.

    In a word that names its point's own person and image a mark stands for either.
    """
    if not isinstance(values, list) or len(values) < FEW or not all(isinstance(one, str) for one in values):
        return values
    if len(who) == len(values):
        values = [_marked(text, *one) for text, one in zip(values, who, strict=True)]
    low, high = min(values), max(values)
    start = low[: next((k for k, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))]
    words = [one.removeprefix(start) for one in values]
    places = {word: k for k, word in enumerate(dict.fromkeys(words))}
    made: dict[str, Any] = {"start": start, "words": words}
    if 2 * len(places) <= len(words):
        made = {"start": start, "words": list(places), "at": packed([places[word] for word in words])}
    return made


def _marked(text: str, person: str, item: str) -> str:
    # Of names as the library shows them: escaped, since it reads a part of HTML.
    for mark, name in ((IMAGE, item), (PERSON, person)):
        if name:
            text = text.replace(html.escape(name, quote=False), mark, 1)
    return text
