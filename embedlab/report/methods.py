"""The methods of a report, to be cited: made from what was really run, with the references as BibTeX.

Nothing is said that the records do not show: what a model was trained on only where the lab's network made
the vectors, a parameter only with the value that was used, a reference only where its analysis has a result.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedlab import question
from embedlab.charts.base import cell
from embedlab.errors import UserError
from embedlab.estimates import Comparisons, counted
from embedlab.lab.store import Lab
from embedlab.maths.people import bootstrap
from embedlab.question import Answer, listed
from embedlab.report.pseudonyms import without_paths
from embedlab.report.sections import parts
from embedlab.runner import Outcome
from embedlab.wording import said

Record = Mapping[str, Any]

SHARES = """.. [1] Korn, E. L. and Graubard, B. I. Confidence intervals for proportions with small expected
number of positive counts estimated from survey data. Survey Methodology 24(2), 1998."""
RATE = """.. [1] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate. Journal of the Royal
Statistical Society B 57(1), 1995."""

# Parameters that all analyses share are told once.
SHARED = ("resamples", "seed")
# "Huh, M., Cheung, B. and Isola, P. The platonic …": surnames with initials, and what is left.
_AUTHORS = re.compile(
    r"(?P<authors>[^\W\d_][^.,]*, (?:[^\W\d_]\.[- ]?)+(?:(?:, | and |, and )[^.,]*, (?:[^\W\d_]\.[- ]?)+)*"
    r"(?: ?et al\.)?) (?P<rest>\S.*)"
)
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)\b(?!\.\d)")


@dataclass(frozen=True)
class Methods:
    """What was done, as paragraphs, and the references as BibTeX."""

    text: tuple[str, ...] = ()
    bibtex: str = ""


@dataclass(frozen=True)
class Sources:
    """What a report was made from.

    Attributes
    ----------
    embedded
        What stands in each embedding file, as `embedlab.runner.embedding_records` gives it.
    trained
        The lab's record of each model's training, by the model's name.
    drawn
        How many people were drawn of how many, in sentences without their full stops.
    """

    embedded: Sequence[Record] = ()
    trained: Mapping[str, Record] = dataclasses.field(default_factory=dict)
    drawn: Sequence[str] = ()

    @classmethod
    def of(
        cls, lab: Lab, models: Sequence[str], embedded: Sequence[Record], drawn: Sequence[str] = ()
    ) -> "Sources":
        """Read what the lab knows of the training of some models; a record that cannot be read is none."""
        found = {}
        for model in models:
            path = lab.checkpoint(model) / "model.json"
            try:
                found[model] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, UserError):
                continue
        return cls(embedded, found, drawn)


def of(
    outcomes: Sequence[Outcome],
    sources: Sources,
    answers: Sequence[Answer] = (),
    compared: Comparisons | None = None,
    versions: Sequence[tuple[str, str]] = (),
) -> Methods:
    """Tell how a report was made.

    Parameters
    ----------
    outcomes
        What the analyses gave; those without any result are left out.
    sources
        Where the vectors came from.
    answers
        The verdicts of the report.
    compared
        How many of its sentences claim something.
    versions
        The packages in use, where the results' own records tell none.
    """
    ran = [one for one in outcomes if one.results]
    if not ran:
        return Methods()
    over = max((one.over for one in answers), default=0)
    settled = compared is not None and compared.count > 0
    cited = [one for outcome in ran for one in _references(outcome.analysis.doc)]
    if _intervals(ran):
        cited += [*_references(bootstrap.__doc__ or ""), *_listed(SHARES)]
    if settled:
        cited += _listed(RATE)
    if over:
        cited += _references(question.__doc__ or "")
    used = _versions(ran) or dict(versions)
    paragraphs = [
        _data(sources),
        _models(sources),
        _analyses(ran),
        " ".join(filter(None, [_intervals(ran), _claims(compared) if settled else "", _verdicts(answers)])),
        _software(used),
    ]
    return Methods(tuple(said(without_paths(one)) for one in paragraphs if one), _bibtex(cited, used))


def _data(sources: Sources) -> str:
    sets: dict[tuple[str, Any, Any], dict[str, None]] = {}
    imported: dict[str, None] = {}
    for one in sources.embedded:
        data = one.get("dataset") or {}
        if one.get("imported_from") or not data.get("images"):
            imported[str(one["model"])] = None
        else:
            sets.setdefault((str(data["name"]), data["images"], data.get("people")), {})[
                str(one["probe"])
            ] = None
    said = []
    for (name, images, people), probes in sets.items():
        sizes = [probe.rpartition("@")[2] for probe in probes if "@" in probe]
        pixels = sorted((int(size) for size in sizes if size.isdigit()), reverse=True)
        ways = ["as they are"] if name in probes else []
        ways += [f"shrunk to {_and([f'{n}' for n in pixels])} px first"] if pixels else []
        how = f", {' and '.join(ways)}" if ways else ""
        whom = f" of {counted(people, 'person', 'people')}" if people else ""
        said.append(f"{counted(images, 'image')}{whom} ({name}) were embedded{how}.")
    if imported:
        said.append(f"The embeddings of {_and(list(imported))} were imported.")
    said += [f"{one}." for one in sources.drawn]
    return " ".join(said)


def _models(sources: Sources) -> str:
    hashes = {str(one["model"]): str(one.get("model_sha256") or "") for one in sources.embedded}
    said = []
    for model, made_by in hashes.items():
        record = sources.trained.get(model, {})
        recipe = record.get("recipe", {})
        if not (made_by and record.get("weights_sha256") == made_by and record.get("history")):
            said.append(f"What {model} was trained on is not recorded.")
            continue
        network = record.get("network", {})
        kind = [str(network.get("backbone") or recipe.get("backbone") or "")]
        kind += [f"width {recipe['width']}"] if recipe.get("width") else []
        kind += [f"{recipe['dimension']} dimensions"] if recipe.get("dimension") else []
        head = f", by the head {recipe['head']}" if recipe.get("head") else ""
        if recipe.get("head") and recipe.get("scale"):
            head += f" (scale {recipe['scale']:g}, margin {recipe.get('margin', 0):g})"
        seen = recipe.get("epoch_images")
        each = f" of {seen:,} images each" if seen else ""
        said.append(
            f"{model} ({', '.join(filter(None, kind))}) was trained for "
            f"{counted(len(record['history']), 'epoch')}{each} on {counted(record['images'], 'image')} of "
            f"{counted(record['identities'], 'person', 'people')} ({_and([*record.get('data', {})])}){head}, "
            f"seed {record.get('seed')}."
        )
    return " ".join(said)


def _analyses(ran: Sequence[Outcome]) -> str:
    told = []
    for outcome in ran:
        values = dataclasses.asdict(outcome.params)
        some = [
            f"{name.replace('_', ' ')} {cell(value)}"
            for name, value in values.items()
            if name not in SHARED and value != ""
        ]
        told.append(f"{outcome.analysis.name} ({', '.join(some)})" if some else outcome.analysis.name)
    shared = []
    for name in SHARED:
        used = sorted({getattr(one.params, name) for one in ran if hasattr(one.params, name)})
        shared += [f"{name} {_and([*map(cell, used)])}"] if used else []
    common = f" Where something is drawn at random: {', '.join(shared)}." if shared else ""
    return f"{counted(len(ran), 'analysis', 'analyses')} ran: {'; '.join(told)}.{common}"


def _intervals(ran: Sequence[Outcome]) -> str:
    if not any(hasattr(one.params, "resamples") for one in ran):
        return ""
    corrected = [one.analysis.name for one in ran if getattr(one.params, "interval", "") == "bca"]
    bca = f" (bias-corrected and accelerated ones in {_and(corrected)})" if corrected else ""
    return (
        "Unless the description of an analysis says otherwise, intervals are 95 % percentile intervals of a "
        f"bootstrap over people{bca}, those of shares binomial intervals of as many independent trials as "
        "vary as much; two models are compared on the same resamples."
    )


def _claims(compared: Comparisons | None) -> str:
    if compared is None:
        return ""
    return (
        f"Of {counted(compared.count, 'comparison')} in the sentences of the sections those are claimed that "
        "the procedure of Benjamini and Hochberg keeps at a false discovery rate of 5 %: "
        f"{compared.claimed:,} of them."
    )


def _verdicts(answers: Sequence[Answer]) -> str:
    over = max((one.over for one in answers), default=0)
    if not over:
        return ""
    least: dict[str, None] = {}
    for one in answers:
        if one.over and one.effect is not None:
            least[f"{one.question} {one.matters:g}"] = None
    return (
        f"The intervals behind the answers hold simultaneously over {counted(over, 'claim')} (Bonferroni, "
        "95 %); an effect is shown where its whole interval lies beyond the smallest one that matters "
        f"({', '.join(least)}), and shown to be smaller where it lies below."
    )


def _versions(ran: Sequence[Outcome]) -> dict[str, str]:
    """Gather the versions that the results were computed with; more than one of a package are all named."""
    found: dict[str, dict[str, None]] = {}
    for outcome in ran:
        for run in outcome.runs:
            if run.result is not None:
                for name, version in run.record.get("versions", {}).items():
                    found.setdefault(str(name), {})[str(version)] = None
    return {name: " and ".join(them) for name, them in found.items()}


def _software(used: Mapping[str, str]) -> str:
    return f"Software: {', '.join(f'{name} {version}' for name, version in used.items())}." if used else ""


def _and(words: Sequence[str]) -> str:
    return listed(words, most=len(words))


def _references(doc: str) -> list[str]:
    """Give the references of a docstring, each on one line."""
    return [one for heading, text in parts(doc) if heading == "References" for one in _listed(text)]


def _listed(text: str) -> list[str]:
    found = re.split(r"^\s*\.\. \[\w+\]\s+", text, flags=re.MULTILINE)
    return [" ".join(one.split()) for one in found if one.strip()]


def _bibtex(references: Iterable[str], used: Mapping[str, str]) -> str:
    entries = []
    if "embedlab" in used:
        entries.append(_entry("software", "embedlab", {"title": "embedlab", "version": used["embedlab"]}))
    keys: dict[str, int] = {}
    for reference in dict.fromkeys(references):
        fields = fields_of(reference)
        key = _key(fields, reference)
        keys[key] = keys.get(key, 0) + 1
        entries.append(_entry("misc", key + ("" if keys[key] == 1 else f"-{keys[key]}"), fields))
    return "\n\n".join(entries)


def fields_of(reference: str) -> dict[str, str]:
    """Take a reference apart: author, title, where and year; one note where that is not clear."""
    years = _YEAR.findall(reference)
    year = {"year": years[-1]} if years else {}
    found = _AUTHORS.fullmatch(reference)
    if not found:
        return {"note": reference, **year}
    authors = re.sub(r"(?<=\.)(?:, and |, | and )(?=[^\W\d_][^.,]*, )", " and ", found["authors"]).strip()
    authors = re.sub(r" et al\.$", " and others", authors)
    title, _, where = found["rest"].partition(". ")
    if not where:
        return {"note": reference, **year}
    where = re.sub(r",? *\(?(?:1[89]\d\d|20\d\d)\)?\.?$", "", where).strip(" .,")
    return {"author": authors, "title": title, **({"howpublished": where} if where else {}), **year}


def _key(fields: Mapping[str, str], reference: str) -> str:
    first = re.match(
        r"\w+",
        fields.get("author", reference).split(",")[0].split()[-1] if fields.get("author") else reference,
    )
    word = re.search(r"[^\W\d_]{4,}", fields.get("title", ""))
    plain = (first[0] if first else "reference") + fields.get("year", "") + (word[0].lower() if word else "")
    return re.sub(r"[^A-Za-z0-9]", "", _ascii(plain)) or "reference"


def _ascii(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    # Two braces keep capitals, which many styles would take away.
    lines = [
        f"  {name} = {{{{{_latex(value)}}}}}"
        if name in ("title", "note")
        else f"  {name} = {{{_latex(value)}}}"
        for name, value in fields.items()
    ]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def _latex(text: str) -> str:
    """Escape what BibTeX and LaTeX would read as commands."""
    text = re.sub(r"[\\{}~^]", "", text)
    return re.sub(r"([&%$#_])", r"\\\1", text)
