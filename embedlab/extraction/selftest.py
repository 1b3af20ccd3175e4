"""A model's self-test: whether its images come as it was trained on them, and its vectors are sound.

The commonest mistakes in face recognition raise no error: blue and red swapped, pixels scaled otherwise,
faces aligned otherwise. They cost accuracy, from a trifle to nearly all. This test runs a model on the same
images prepared as stated and prepared otherwise, and asks which tells people apart better: d′ (the gap
between the mean scores of genuine and of impostor pairs, in units of their pooled deviation), AUC and
TAR@FAR, on the same pairs of the same images. The interval of a difference comes from a bootstrap over
people, all preparations resampled alike.

How to read it
--------------
d′ decides, because good models are near AUC 1, where only a handful of pairs say anything, while d′ uses
every pair. With 200 images of 100 people of Labeled Faces in the Wild, swapped channels cost two small
networks 0.36 and 0.43 of a d′ of 5.9, both intervals away from zero; of AUC the one lost nothing that shows,
and the other seemed to gain. A preparation is called *better* where the 95 % interval of its d′ minus the
stated one's lies above zero and the difference is at least 1 % of d′; below that it does not matter. *Not
told apart* means that the interval holds zero: more images may tell. Each of the others that is as good as
the stated one has a chance of 2.5 % to come out better, and then only just.

Mirrored and shifted images should do about as well as the others: a model that does better on them is fed
faces that are aligned otherwise than those it was trained on. A preparation that comes out better is a
reason to look at how the model was trained, and no proof.

Limits
------
A function of ``module:callable`` prepares its images by itself, so other scalings cannot be tried on it.
Scalings of other presets that are the stated one's up to a percent cannot be told from it, nor do they
matter.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import MIDDLE, Cropped, prepare
from embedlab.errors import UserError
from embedlab.estimates import Estimate
from embedlab.formats.protocols import PairList
from embedlab.maths.pairs import roc
from embedlab.maths.pairs.all_pairs import Pairs, all_pairs
from embedlab.maths.pairs.moments import Spread
from embedlab.maths.people.bootstrap import resamples
from embedlab.networks.embedder import PRESETS, Embedder
from embedlab.progress import say, track

IMAGES = 500
"""Images a test takes by default."""
BATCH = 32
RESAMPLES = 500
FAR = 1e-3
MOST_A_PERSON = 10
FEWEST_PEOPLE = 5
MATTERS = 0.01
"""Share of d′ below which a difference does not matter."""
SHIFT = 28
"""Images are shifted by a 28th of their side: 4 of 112 px."""
UNSTEADY = 0.02
"""Relative change of a vector from call to call above which a model is not deterministic; bfloat16 on a
GPU changes the last of its eight bits with the batch, which is below this."""

STATED, SWAPPED, MIRRORED, SHIFTED = "as stated", "channels swapped", "mirrored", "shifted"


@dataclass(frozen=True)
class Trial:
    """How well a model tells people apart with images prepared in one way.

    Attributes
    ----------
    what
        The preparation.
    auc, tar, d_prime
        Area under the ROC curve; share of genuine pairs accepted at FAR 1e-3 (NaN where there are fewer
        impostor pairs than that needs); d′.
    difference, low, high
        d′ minus that of the images as stated, with its 95 % interval; NaN for those themselves.
    auc_difference, auc_low, auc_high
        The same for AUC.
    verdict
        ``better``, ``worse``, ``no matter`` or ``not told apart``; empty for the images as stated.
    """

    what: str
    auc: float
    tar: float
    d_prime: float
    difference: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    auc_difference: float = float("nan")
    auc_low: float = float("nan")
    auc_high: float = float("nan")
    verdict: str = ""


@dataclass(frozen=True)
class SelfTest:
    """What a self-test found.

    Attributes
    ----------
    model, dataset
        Names.
    images, people, genuine, impostor
        How many images of how many people, and how many pairs they make.
    trials
        One a preparation, the stated one first.
    norms
        Smallest, median and largest length of a vector.
    warnings
        What should be looked at; empty if nothing.
    sentences
        What else was found.
    """

    model: str
    dataset: str
    images: int
    people: int
    genuine: int
    impostor: int
    trials: tuple[Trial, ...]
    norms: tuple[float, float, float]
    warnings: tuple[str, ...]
    sentences: tuple[str, ...]

    def text(self) -> str:
        """Write the table and the sentences as lines of text."""
        head = ("images", "AUC", f"TAR@{FAR:g}", "d′", "d′ − stated", "95 % interval", "")
        rows = [head]
        for each in self.trials:
            tar = "–" if np.isnan(each.tar) else f"{each.tar:.3f}"
            numbers = (f"{each.auc:.5f}", tar, f"{each.d_prime:.3f}")
            if not each.verdict:
                rows.append((each.what, *numbers, "", "", ""))
                continue
            spread = "–" if np.isnan(each.low) else f"[{each.low:+.3f}, {each.high:+.3f}]"
            rows.append((each.what, *numbers, f"{each.difference:+.3f}", spread, each.verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(
                word.ljust(width) if k in (0, 6) else word.rjust(width)
                for k, (word, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        warnings = [f"WARNING: {each}" for each in self.warnings]
        return "\n".join([*table, "", *warnings, *self.sentences])


@dataclass(frozen=True)
class _Sample:
    """The images a test runs on, whom they show, and resamples of these people."""

    faces: UInt8[np.ndarray, "n s s 3"]
    labels: Int[np.ndarray, " n"]
    counts: Float[np.ndarray, "resamples people"]

    @property
    def pairs(self) -> tuple[int, int]:
        """Count genuine and impostor pairs."""
        n, images = len(self.labels), np.bincount(self.labels)
        genuine = int((images * (images - 1) // 2).sum())
        return genuine, n * (n - 1) // 2 - genuine


def selftest(
    embedder: Embedder,
    dataset: Dataset,
    pairs: PairList | None = None,
    *,
    images: int = IMAGES,
    seed: int = 0,
) -> SelfTest:
    """Run a model on images prepared as stated and otherwise, and look at its vectors.

    Parameters
    ----------
    embedder
        The model.
    dataset
        Faces; people with one image are passed over.
    pairs
        A list of pairs; if it is given only images that it names are taken.
    images
        About how many images to take; each is embedded once a preparation, about eight times.
    seed
        What the sample and the resamples are drawn from.

    Raises
    ------
    UserError
        If fewer than five people have two readable images (that the pairs name), or the model gives no
        vector that is a number for any image.
    """
    sample = _sampled(dataset, pairs, embedder.preprocessing.size, max(images, 2 * FEWEST_PEOPLE), seed)
    ways = _ways(embedder, sample.faces)
    found: dict[str, np.ndarray] = {}
    for what, (model, faces) in track(ways.items(), f"self-test of {embedder.name}", len(ways)):
        found[what] = _embedded(model, faces)
    bad = ~(np.isfinite(found[STATED]).all(axis=1) & found[STATED].any(axis=1))
    if bad.all():
        raise UserError(
            f"model {embedder.name} gives vectors that are zero or not finite for all {len(bad)} images: it "
            "is broken, or not the network its weights were made for"
        )
    counted = {what: all_pairs(_unit(vectors), sample.labels) for what, vectors in found.items()}
    trials = _judged(counted, sample.counts)
    norms = np.linalg.norm(found[STATED][~bad], axis=1)
    warnings, sentences = _of_trials(trials, embedder)
    for more in (_of_vectors(found[STATED], bad, norms), _of_repeats(embedder, sample.faces)):
        warnings += more[0]
        sentences += more[1]
    usual = float(np.median(counted[STATED].genuine_scores))
    alike = float(np.median((_unit(found[STATED]) * _unit(found[MIRRORED])).sum(axis=1)))
    line = (
        f"A face and its mirror image have a median similarity of {alike:.3f}, two images of one person "
        f"{usual:.3f}."
    )
    (warnings if alike < usual else sentences).append(line)
    return SelfTest(
        embedder.name,
        dataset.name,
        len(sample.faces),
        sample.counts.shape[1],
        *sample.pairs,
        tuple(trials),
        (float(norms.min()), float(np.median(norms)), float(norms.max())),
        tuple(warnings),
        (_scope(sample, dataset, seed), *sentences),
    )


def _scope(sample: _Sample, dataset: Dataset, seed: int) -> str:
    genuine, impostor = sample.pairs
    return (
        f"Measured on {len(sample.faces):,} of {len(dataset):,} images of {dataset.name}, drawn with seed "
        f"{seed}: {sample.counts.shape[1]:,} people, {genuine:,} genuine and {impostor:,} impostor pairs."
    )


def _sampled(dataset: Dataset, pairs: PairList | None, size: int, images: int, seed: int) -> _Sample:
    rows = _rows(dataset, pairs, images, np.random.default_rng([seed, 11]))
    faces, kept, skipped = [], [], []
    cropped = Cropped()
    for row in rows:
        try:
            image = dataset.image(int(row))
            cropped.see(image)
            faces.append(prepare(image, None, size))
            kept.append(int(row))
        except UnreadableImage as error:
            skipped.append(f"{dataset.items[int(row)]} ({error})")
    cropped.told(dataset.name, MIDDLE)
    if skipped:
        named = ", ".join(skipped[:3])
        say(f"  {len(skipped)} images of {dataset.name} cannot be read and are left out: {named}")
    people, labels, having = np.unique(dataset.labels[kept], return_inverse=True, return_counts=True)
    several = int((having > 1).sum())
    if several < FEWEST_PEOPLE:
        raise UserError(
            f"{several} people of {dataset.name} have two readable images in the sample of {len(kept)}: a "
            f"self-test needs {FEWEST_PEOPLE}; give it a larger data set or more images"
        )
    return _Sample(np.stack(faces), labels, resamples(len(people), RESAMPLES, seed))


def _rows(dataset: Dataset, pairs: PairList | None, images: int, rng: np.random.Generator) -> list[int]:
    """Draw people with several images, as many as there may be, and of each equally many images."""
    among = np.arange(len(dataset))
    if pairs is not None:
        among = np.unique(np.concatenate(pairs.rows(dataset.items)))
        among = among[among >= 0]
    own = [among[dataset.labels[among] == person] for person in range(len(dataset.identities))]
    several = [rows for rows in own if len(rows) > 1]
    each = int(np.clip(images // max(len(several), 1), 2, MOST_A_PERSON))
    drawn: list[int] = []
    for person in rng.permutation(len(several)):
        if len(drawn) >= images:
            break
        drawn += rng.permutation(several[person])[:each].tolist()
    return sorted(drawn)


def _ways(embedder: Embedder, faces: np.ndarray) -> dict[str, tuple[Embedder, np.ndarray]]:
    """List the preparations: which model sees which images."""
    step = max(1, round(faces.shape[1] / SHIFT))
    moved = np.pad(faces, ((0, 0), (step, 0), (step, 0), (0, 0)), mode="edge")[:, :-step, :-step]
    ways = {STATED: (embedder, faces), SWAPPED: (embedder, faces[..., ::-1])}
    ways |= {f"scaled as {name}": (model, faces) for name, model in _rescaled(embedder, faces[:1]).items()}
    return ways | {
        MIRRORED: (embedder, faces[:, :, ::-1]),
        f"{SHIFTED} by {step} px": (embedder, np.ascontiguousarray(moved)),
    }


def _rescaled(embedder: Embedder, face: np.ndarray) -> dict[str, Embedder]:
    """Give the model every other preset's scaling, where it scales images as its contract says."""
    stated = embedder.preprocessing
    seen = {(stated.mean, stated.std)}
    found: dict[str, Embedder] = {}
    for name, preset in PRESETS.items():
        if (preset.mean, preset.std) in seen:
            continue
        seen.add((preset.mean, preset.std))
        other = copy.copy(embedder)
        other.preprocessing = replace(stated, mean=preset.mean, std=preset.std)
        found[name] = other
    # A model that prepares images by itself gives the same vectors whatever its contract says.
    same = embedder.embed(face)
    return {} if all(np.array_equal(each.embed(face), same) for each in found.values()) else found


def _embedded(embedder: Embedder, faces: np.ndarray) -> Float[np.ndarray, "n d"]:
    batch = int(getattr(embedder, "usual_batch", BATCH))
    steps = range(0, len(faces), batch)
    return np.concatenate([embedder.embed(np.ascontiguousarray(faces[k : k + batch])) for k in steps])


def _judged(counted: Mapping[str, Pairs], counts: Float[np.ndarray, "b people"]) -> list[Trial]:
    """Measure each preparation, and its difference from the first; all are resampled alike."""
    trials: list[Trial] = []
    first: tuple[Estimate, Estimate] | None = None
    for what, pairs in counted.items():
        d, auc = _measured(pairs, counts)
        trial = Trial(what, auc.value, _tar(pairs), d.value)
        if first is None:
            first = d, auc
            trials.append(trial)
            continue
        (more, low, high), (auc_more, auc_low, auc_high) = _ends(d - first[0]), _ends(auc - first[1])
        trial = replace(
            trial,
            difference=more,
            low=low,
            high=high,
            auc_difference=auc_more,
            auc_low=auc_low,
            auc_high=auc_high,
        )
        trials.append(replace(trial, verdict=_verdict(trial, trials[0].d_prime)))
    return trials


def _measured(pairs: Pairs, counts: Float[np.ndarray, "b people"]) -> tuple[Estimate, Estimate]:
    """Give d′ and AUC with their replicates."""
    who = "the sample's people"
    d = Spread(pairs, counts).d_prime(lambda scores: 1.0 - scores)
    auc, aucs, _, _ = roc.auc_and_eer(pairs, counts)
    return Estimate(d.value, draws=d.replicates, drawn_from=who), Estimate(auc, draws=aucs, drawn_from=who)


def _ends(gap: Estimate) -> tuple[float, float, float]:
    low, high = (float("nan") if end is None else end for end in (gap.low, gap.high))
    return gap.value, low, high


def _tar(pairs: Pairs) -> float:
    if FAR * int(pairs.impostor.sum()) < 1:
        return float("nan")
    limit, _ = roc.limits(pairs, np.array([FAR]), np.ones((1, len(pairs.images)), np.float32))
    return float((pairs.genuine_scores > limit[0]).mean())


def _unit(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Give rows of length one; what is zero or no number becomes zero, which is like nothing."""
    finite = np.where(np.isfinite(vectors), vectors, 0.0).astype(np.float32)
    unit: np.ndarray = finite / np.maximum(np.linalg.norm(finite, axis=1, keepdims=True), 1e-12)
    return unit


def _verdict(trial: Trial, stated: float) -> str:
    if abs(trial.difference) < MATTERS * abs(stated):
        return "no matter"
    if trial.low > 0:
        return "better"
    return "worse" if trial.high < 0 else "not told apart"


def _of_trials(trials: list[Trial], embedder: Embedder) -> tuple[list[str], list[str]]:
    """Say what the preparations come to: warnings, and sentences."""
    contract = embedder.preprocessing
    stated = f"{contract.channels}, mean {_numbers(contract.mean)}, deviation {_numbers(contract.std)}"
    guessed = " (which was assumed, not stated)" if getattr(embedder, "assumed_preprocessing", False) else ""
    warnings, sentences = [], []
    for trial in trials[1:]:
        numbers = (
            f"d′ {trial.d_prime:.3f} against {trials[0].d_prime:.3f} as stated{guessed}, a difference of "
            f"{trial.difference:+.3f} [{trial.low:+.3f}, {trial.high:+.3f}], AUC {trial.auc:.5f} against "
            f"{trials[0].auc:.5f}"
        )
        if trial.verdict == "better":
            warnings.append(
                f"Images {trial.what} are told apart better: {numbers}. {_advice(trial, contract.channels)}"
            )
        elif trial.what == SWAPPED:
            ends = {
                "worse": f"so {contract.channels} is the order it was trained on.",
                "no matter": "so the order does not matter to it.",
                "not told apart": "which is within noise: more images may tell which order is right.",
            }
            sentences.append(f"With channels swapped: {numbers}, {ends[trial.verdict]}")
    if not any(trial.what.startswith("scaled") for trial in trials):
        sentences.append("It prepares its images by itself, so no other scaling was tried.")
    elif not any(trial.what.startswith("scaled") and trial.verdict == "better" for trial in trials):
        sentences.append(f"No other scaling does better than the stated one ({stated}).")
    return warnings, sentences


def _advice(trial: Trial, channels: str) -> str:
    if trial.what == SWAPPED:
        other = "BGR" if channels == "RGB" else "RGB"
        return f"It was probably trained on {other}: state the channels so."
    if trial.what.startswith("scaled"):
        return f"Its scaling is probably that of the preset {trial.what.split()[-1]!r}: state it."
    return "Its faces are probably to be aligned otherwise."


def _of_vectors(vectors: np.ndarray, bad: np.ndarray, norms: np.ndarray) -> tuple[list[str], list[str]]:
    warnings = []
    if bad.any():
        warnings.append(f"{int(bad.sum())} of {len(bad)} vectors are zero or not finite.")
    spread = float(norms.std() / norms.mean())
    said = (
        f"Vectors are {norms.min():.3g} to {norms.max():.3g} long, median {np.median(norms):.3g}, and vary "
        f"by {spread:.1%}"
    )
    good = vectors[~bad]
    if len(good) > 1 and float(np.abs(good - good[0]).max()) <= 1e-6 * norms.max():
        warnings.append("All images give the same vector: the model does not look at them.")
    if spread < 1e-4:
        return warnings, [f"{said}: they come at one length, so that norms say nothing of quality."]
    return warnings, [f"{said}."]


def _of_repeats(embedder: Embedder, faces: np.ndarray) -> tuple[list[str], list[str]]:
    """Embed some images twice in a batch, and one by one."""
    some = np.ascontiguousarray(faces[: BATCH // 2])
    both = embedder.embed(np.concatenate([some, some]))
    once, again = both[: len(some)], both[len(some) :]
    single = np.concatenate([embedder.embed(some[k : k + 1]) for k in range(min(4, len(some)))])
    twice, alone = _change(once, again), _change(once[: len(single)], single)
    line = (
        f"The same image twice changes its vector by {twice:.1e} of its length, alone instead of in a batch "
        f"by {alone:.1e}"
    )
    if not max(twice, alone) <= UNSTEADY:
        return [f"{line}: the model is not deterministic, or was left in training mode."], []
    return [], [f"{line}."]


def _change(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.maximum(np.linalg.norm(a, axis=1), 1e-12)
    return float((np.linalg.norm(a - b, axis=1) / lengths).max())


def _numbers(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ", ".join(f"{value:g}" for value in values)
