"""Pseudonyms: a report that can be sent on without the names of people, images and folders.

A result is renamed before anything is made of it, so that sentences, tables, pictures and JSON agree. What
is kept in the lab has the true names.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from embedlab.analysis import Result
from embedlab.charts.faces import Lookup
from embedlab.runner import Outcome, Run
from embedlab.wording import Words

NO_WORDS: Words = MappingProxyType({})
CALLED = (("identity", "person"), ("item", "image"))
# What stands between names in texts that results hold: "a person: an image, a probe".
_BETWEEN = re.compile(r"(: |, )")
# Two folders at least, or one that machines have, since people may be called "/m/0abc".
_PART = r"[^/\\\s\"'<>&;,]+"
_PATH = re.compile(
    r"(?<![\w+/.~:<\\-])"
    rf"(?:/(?:tmp|home|root|data|mnt|media|srv|opt|var|Users)/(?:{_PART}/)*|/(?:{_PART}/){{2,}}|"
    rf"[A-Za-z]:\\(?:{_PART}\\)+)"
)


@dataclass(frozen=True)
class Pseudonyms:
    """Names for people and images that say nothing of them.

    Attributes
    ----------
    names
        True name → pseudonym, of people and of images.
    kept
        Words that stay as they are even if somebody is called so: models and probes.
    """

    names: Mapping[str, str]
    kept: frozenset[str] = frozenset()

    @classmethod
    def of(cls, owners: Iterable[tuple[str, str]], kept: Iterable[str] = (), words: Words = NO_WORDS) -> Self:
        """Name people by their place among all, sorted, and images by their place among the person's.

        The same data gives the same names, whatever is asked of it.

        Parameters
        ----------
        owners
            Image and person, of all images.
        kept
            As above.
        words
            What a study calls people and images, and their pseudonyms after it.
        """
        one, another = ("-".join(words.get(*word).split()) for word in CALLED)
        images: dict[str, set[str]] = {}
        whose: dict[str, set[str]] = {}
        for item, person in owners:
            images.setdefault(person, set()).add(item)
            whose.setdefault(item, set()).add(person)
        width = max(3, len(str(len(images))))
        found: dict[str, str] = {}
        for number, person in enumerate(sorted(images), 1):
            name = f"{one}-{number:0{width}}"
            for k, item in enumerate(sorted(images[person]), 1):
                found[item] = f"{name}-{k:02}"
        # Two sets of images may call images of two people the same.
        for k, item in enumerate(sorted(item for item, people in whose.items() if len(people) > 1), 1):
            found[item] = f"{another}-{k:03}"
        found |= {person: f"{one}-{n:0{width}}" for n, person in enumerate(sorted(images), 1)}
        return cls(found, frozenset(kept))

    def name(self, text: str) -> str:
        """Rename what is a name as a whole, or several between colons and commas."""
        if text in self.kept:
            return text
        if text in self.names:
            return self.names[text]
        parts = _BETWEEN.split(text)
        return "".join(part if part in self.kept else self.names.get(part, part) for part in parts)

    def text(self, text: str) -> str:
        """Rename every name in running text; a word without a letter stays, since it may be a number."""
        out: list[str] = []
        at = 0
        while at < len(text):
            end = self._longest(text, at) if at == 0 or not _in_word(text[at - 1]) else 0
            out.append(self.names[text[at:end]] if end else text[at])
            at = end or at + 1
        return "".join(out)

    def _longest(self, text: str, at: int) -> int:
        """Give the end of the longest name that begins at a place and ends with a word; 0 if none does."""
        for length in self._lengths:
            end = at + length
            if (
                end <= len(text)
                and (found := text[at:end]) in self.names
                and found not in self.kept
                and any(map(str.isalpha, found))
                and (end == len(text) or not _in_word(text[end]))
            ):
                return end
        return 0

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted(set(map(len, self.names)), reverse=True)

    def value(self, value: Any) -> Any:
        """Rename what a result holds: texts, also in arrays, tuples, mappings and records."""
        if isinstance(value, str):
            return self.name(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "UO":
            flat = [self.value(one) for one in value.ravel().tolist()]
            array = np.array(flat, dtype=object if value.dtype.kind == "O" else str)
            return array.reshape(value.shape)
        if isinstance(value, tuple):
            made = map(self.value, value)
            return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if type(value) is dict:
            return {self.value(key): self.value(one) for key, one in value.items()}
        return value

    def result(self, result: Result) -> Result:
        """Rename in a result, whose title names models and probes only."""
        fields = (one.name for one in dataclasses.fields(result) if one.init and one.name != "title")
        return dataclasses.replace(result, **{name: self.value(getattr(result, name)) for name in fields})

    def provenance(self, rows: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, list[tuple[str, str]]]:
        """Rename in what a report says of its inputs: cautions, and images that were left out."""
        return {
            heading: [(self.text(self.name(what)), self.text(value)) for what, value in told]
            for heading, told in rows.items()
        }

    def outcome(self, outcome: Outcome) -> Outcome:
        """Rename in all runs: results, reasons, cautions and tracebacks."""
        return dataclasses.replace(outcome, runs=tuple(map(self._run, outcome.runs)))

    def _run(self, run: Run) -> Run:
        return dataclasses.replace(
            run,
            result=None if run.result is None else self.result(run.result),
            reason=self.text(run.reason),
            error=self.text(run.error),
            caution=self.text(run.caution),
            unstored=self.text(run.unstored),
        )

    def lookup(self, pictures: Lookup) -> Lookup:
        """Let charts ask for pictures by pseudonym."""
        true = {pseudonym: name for name, pseudonym in self.names.items()}
        return lambda probe, item: pictures(probe, true.get(item, item))


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def without_paths(text: str) -> str:
    """Leave out the folders of every absolute path in a text; the file's own name stays."""
    return _PATH.sub("", text)


def without_folders(words: Iterable[str]) -> list[str]:
    """Leave out the folders in the words of a command, also behind the equals sign of ``name=path``."""
    return ["=".join(_last(part) for part in word.split("=")) for word in words]


def _last(part: str) -> str:
    kind = PureWindowsPath if "\\" in part else PurePosixPath
    return kind(part).name or part if "/" in part or "\\" in part else part
