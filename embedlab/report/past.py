"""A report.json read again: what was measured, on whom, and with which draws.

The file may come from anywhere, so nothing in it is trusted: what is not as ``numbers`` writes it is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from embedlab.errors import UserError
from embedlab.estimates import Estimate
from embedlab.files.documents import text_of
from embedlab.report import notes, numbers


@dataclass(frozen=True, order=True)
class Key:
    """What an estimate is of: analysis, models and probes it is over, what was measured, and where."""

    analysis: str
    models: tuple[str, ...]
    probes: tuple[str, ...]
    what: str
    where: tuple[str, ...]

    @property
    def measure(self) -> str:
        """Name the measure, as gates do: ``verification:EER``."""
        return f"{self.analysis}:{self.what}"

    @property
    def text(self) -> str:
        """Name it in words."""
        place = f", {' × '.join(self.where)}" if self.where else ""
        probes = f" on {' and '.join(self.probes)}" if 0 < len(self.probes) < 3 else ""
        return f"{self.measure}{place}, {' and '.join(self.models) or 'all models'}{probes}"

    def renamed(self, names: Mapping[str, str]) -> "Key":
        """Call models otherwise, in places too."""
        models, where = (tuple(names.get(one, one) for one in part) for part in (self.models, self.where))
        return Key(self.analysis, models, self.probes, self.what, where)


class Answered(NamedTuple):
    """What a question said of some models; it may say several things, each of its own kind."""

    question: str
    models: tuple[str, ...]
    kind: str
    verdict: str
    hazard: bool
    text: str
    fingerprint: str = ""

    @property
    def about(self) -> tuple[str, tuple[str, ...], str]:
        """What is the same in another report, whatever the verdict and whichever model is better."""
        return self.question, tuple(sorted(self.models)), self.kind

    @property
    def name(self) -> str:
        """Name it in words."""
        kind = f" ({self.kind})" if self.kind else ""
        return f"{self.question}, {' and '.join(self.models) or 'the report'}{kind}"


@dataclass(frozen=True)
class Past:
    """One report.

    Attributes
    ----------
    name
        How it is called in messages: the file's name, after that of its folder.
    title
        Its own.
    estimates
        Every estimate by its key, with its draws where they were kept.
    params
        Analysis → its parameters.
    members
        (model, probe) → a hash of the images and people.
    answers
        What each question said of what.
    """

    name: str
    title: str
    estimates: Mapping[Key, Estimate]
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    members: Mapping[tuple[str, str], str] = field(default_factory=dict)
    answers: tuple[Answered, ...] = ()

    def renamed(self, names: Mapping[str, str]) -> "Past":
        """Call models otherwise."""
        return Past(
            self.name,
            self.title,
            {key.renamed(names): one for key, one in self.estimates.items()},
            self.params,
            {(names.get(model, model), probe): one for (model, probe), one in self.members.items()},
            tuple(
                one._replace(models=tuple(names.get(model, model) for model in one.models))
                for one in self.answers
            ),
        )

    @property
    def models(self) -> list[str]:
        """The models that estimates are of."""
        return list(dict.fromkeys(model for key in self.estimates for model in key.models))


def read(path: Path) -> Past:
    """Read a ``report.json``, or the one in a report's folder.

    Raises
    ------
    UserError
        If it cannot be read, is no report of this schema, or is unfinished.
    """
    path = path / "report.json" if path.is_dir() else path
    try:
        found = json.loads(text_of(path, "the report"))
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no JSON: give the report.json that stands beside a report") from None
    if not isinstance(found, dict) or "sections" not in found or "schema" not in found:
        raise UserError(f"{path} is no report's: give the report.json that stands beside a report")
    if found["schema"] != numbers.SCHEMA:
        raise UserError(
            f"{path} has schema {str(found['schema'])[:20]!r}, this embedlab reads {numbers.SCHEMA}: write "
            "the report anew"
        )
    if found.get("unfinished"):
        raise UserError(f"{path} is unfinished: give the command of that report once more, it goes on")
    try:
        return parsed(str(Path(path.absolute().parent.name, path.name)), found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}): write the report anew"
        ) from None


def parsed(name: str, found: Mapping[str, Any]) -> Past:
    """Give a report from its plain values.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError
        If something is missing in them, or of another kind.
    """
    estimates, params = {}, {}
    for section in found["sections"]:
        analysis = _word(section["name"])
        params[analysis] = dict(section.get("params", {}))
        for row in section.get("estimates", ()):
            models, probes, where = (
                tuple(map(_word, row.get(part, ()))) for part in ("models", "probes", "where")
            )
            key = Key(analysis, models, probes, _word(row["what"]), where)
            estimates[key] = _estimate(row)
    answers = tuple(
        Answered(
            question=_word(one["question"]),
            models=tuple(map(_word, one["subject"])),
            kind=_word(one.get("kind", "")),
            verdict=_word(one["verdict"]),
            hazard=one["hazard"] is True,
            text=_word(one["text"]),
            fingerprint=notes.fingerprint(one),
        )
        for one in found.get("answers", ())
    )
    members = {
        (_word(one["model"]), _word(one["probe"])): _word(one["members"]) for one in found.get("sets", ())
    }
    return Past(name, _word(found.get("title", "")), estimates, params, members, answers)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is {value!r:.40}")
    return value


def _estimate(row: Mapping[str, Any]) -> Estimate:
    value, low, high, null = (
        None if row[part] is None else float(row[part]) for part in ("value", "low", "high", "null")
    )
    found = Estimate(float("nan") if value is None else value, low, high, int(row["n"]), null)
    if "draws" not in row:
        return found
    draws, drawn_from = numbers.unpacked(_word(row["draws"])), _word(row["drawn_from"])
    return replace(found, draws=draws, drawn_from=drawn_from)
