"""Pair accuracy and ROC on people the network has not seen, while it learns."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import nn

from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import MIDDLE, Cropped, prepare
from embedlab.errors import UserError
from embedlab.formats.protocols import PairList
from embedlab.lab.learning import Measured, Roc, ValidationPairs
from embedlab.networks.backbones import memory_format
from embedlab.networks.embedder import Preprocessing
from embedlab.progress import blocks, say, track

FOLDS = 10
SHRUNK = 32
BATCH = 32
"""Images a call on the CPU; a card takes sixteen times as many, or it waits for the next call."""
ROC_POINTS = 150


@dataclass(frozen=True)
class Validation:
    """Prepared images and the pairs among them.

    Attributes
    ----------
    images
        For each condition (``""`` as is, ``"@32"`` shrunk to 32 px first) the images at the network's
        size, uint8 of shape (n, s, s, 3).
    a, b
        Each pair's rows in the images.
    pairs
        Whom the pairs show.
    preprocessing
        The contract of the network's input.
    """

    images: dict[str, UInt8[np.ndarray, "n s s 3"]]
    a: Int[np.ndarray, " p"]
    b: Int[np.ndarray, " p"]
    pairs: ValidationPairs
    preprocessing: Preprocessing

    @property
    def chance(self) -> float:
        """The accuracy of calling every pair what most of them are."""
        return self.pairs.chance

    @property
    def same(self) -> Bool[np.ndarray, " p"]:
        """Whether each pair shows one person."""
        return self.pairs.same

    def measure(self, network: nn.Module, device: str) -> Measured:
        """Judge the pairs under each condition.

        Parameters
        ----------
        network
            Turns images into embeddings; its parts are left in the mode, training or not, they were in.
        device
            Where it is.
        """
        modes = {part: part.training for part in network.modules()}
        network.eval()
        try:
            scores = {condition: self._scores(network, device, condition) for condition in self.images}
        finally:
            for part, training in modes.items():
                part.training = training
        right = {condition: judged(found, self.same) for condition, found in scores.items()}
        return Measured(
            figures={
                f"pair_accuracy{condition}": int(found.sum()) / len(found)
                for condition, found in right.items()
            },
            rocs={condition: roc(found, self.same) for condition, found in scores.items()},
            right=right,
            pairs=self.pairs,
        )

    def _scores(self, network: nn.Module, device: str, condition: str) -> Float[np.ndarray, " p"]:
        layout = memory_format(device)
        images = self.images[condition]
        batch = 16 * BATCH if torch.device(device).type == "cuda" else BATCH
        vectors = []
        with torch.inference_mode():
            for start in blocks(range(0, len(images), batch), "measuring on the validation's images"):
                x = torch.from_numpy(self.preprocessing.apply(images[start : start + batch])).to(device)
                vectors.append(network(x.contiguous(memory_format=layout)).float())
        unit = torch.nn.functional.normalize(torch.cat(vectors).cpu()).numpy()
        scores: np.ndarray = np.einsum("pd,pd->p", unit[self.a], unit[self.b])
        if lost := int((~np.isfinite(scores)).sum()):
            say(f"{lost:,} of {len(scores):,} validation pairs have no score and count as not accepted")
            scores = np.where(np.isfinite(scores), scores, np.float32(-2.0))
        return scores


def accuracy(scores: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], folds: int = FOLDS) -> float:
    """Give the share of pairs judged rightly; parameters are those of ``judged``."""
    return int(judged(scores, same, folds).sum()) / len(same)


def judged(
    scores: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], folds: int = FOLDS
) -> Bool[np.ndarray, " p"]:
    """Say which pairs are judged rightly, the threshold of each fold chosen on the others.

    Parameters
    ----------
    scores
        Cosine similarities.
    same
        Whether a pair shows one person.
    folds
        How many folds; each takes every ``folds``-th pair of either kind.

    References
    ----------
    Huang et al., "Labeled Faces in the Wild", 2007 (the ten-fold protocol).
    """
    fold = np.empty(len(same), np.int64)
    for kind in (True, False):
        members = np.flatnonzero(same == kind)
        fold[members] = np.arange(len(members)) % folds
    right = np.empty(len(same), bool)
    for k in range(folds):
        threshold = _best_threshold(scores[fold != k], same[fold != k])
        right[fold == k] = ((scores >= threshold) == same)[fold == k]
    return right


def roc(scores: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], points: int = ROC_POINTS) -> Roc:
    """Find exact operating points, evenly spread over the logarithm of the FAR, and the area.

    Each point is the lowest threshold that accepts at most k impostor pairs, for k = 0, each power of
    ten of the FAR, and some numbers between; ties are rejected together. The area is that under the
    whole curve, ties counting half (Mann and Whitney's U).

    Parameters
    ----------
    scores
        Cosine similarities.
    same
        Whether a pair shows one person; pairs of both kinds are needed.
    points
        About how many points to give at most.
    """
    genuine, impostors = np.sort(scores[same]), np.sort(scores[~same])
    count = len(impostors)
    decades = np.floor(count / 10.0 ** np.arange(np.log10(count) + 1) * (1 + 1e-9))
    spread = np.round(np.geomspace(1, count, points))
    allowed = np.unique(np.concatenate([[0.0], decades, spread])).astype(np.int64)
    # The best of the rejected impostors; below all scores where none is rejected.
    limits = np.concatenate([[-np.inf], impostors])[count - allowed]
    accepted = count - np.searchsorted(impostors, limits, side="right")
    tar = (len(genuine) - np.searchsorted(genuine, limits, side="right")) / len(genuine)
    accepted, first = np.unique(accepted, return_index=True)
    below = np.searchsorted(impostors, genuine, side="left")
    up_to = np.searchsorted(impostors, genuine, side="right")
    area = float((below + up_to).sum()) / (2 * count * len(genuine))
    return Roc(accepted / count, tar[first], area, len(genuine), count)


def _best_threshold(scores: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"]) -> float:
    """Halve the gap below the accepted scores of the split that judges most pairs rightly."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    rights = np.concatenate([[0], np.cumsum(np.where(same[order], 1, -1))])
    edges = np.concatenate([[ranked[0] + 1.0], (ranked[:-1] + ranked[1:]) / 2, [ranked[-1] - 1.0]])
    return float(edges[np.argmax(rights)])


def prepared(dataset: Dataset, pairs: PairList, preprocessing: Preprocessing) -> Validation:
    """Read the images that the pairs name; a pair with an unreadable image is left out.

    Raises
    ------
    UserError
        If a pair names an image that the data set lacks, or fewer than ten pairs of either kind are
        left.
    """
    row_of = {item: i for i, item in enumerate(dataset.items)}
    for item in (*pairs.a, *pairs.b):
        if item not in row_of:
            raise UserError(
                f"the pairs name {item!r}, which data set {dataset.name!r} does not have: give the pairs of "
                "this data set"
            )
    position: dict[str, int] = {}
    images: dict[str, list[np.ndarray]] = {"": [], f"@{SHRUNK}": []}
    cropped, every = Cropped(), dict.fromkeys((*pairs.a, *pairs.b))
    for item in track(every, "reading the validation's images"):
        try:
            image = dataset.image(row_of[item])
        except UnreadableImage:
            continue
        position[item] = len(position)
        cropped.see(image)
        images[""].append(prepare(image, None, preprocessing.size))
        images[f"@{SHRUNK}"].append(prepare(image, SHRUNK, preprocessing.size))
    cropped.told(dataset.name, MIDDLE)
    kept = [i for i in range(len(pairs)) if pairs.a[i] in position and pairs.b[i] in position]
    same = pairs.same[kept]
    if min(same.sum(), (~same).sum()) < FOLDS:
        raise UserError(
            f"{int(same.sum())} matching and {int((~same).sum())} other pairs of {dataset.name} can be read: "
            f"validation needs {FOLDS} of each"
        )
    return Validation(
        images={condition: np.stack(found) for condition, found in images.items()},
        a=np.array([position[pairs.a[i]] for i in kept]),
        b=np.array([position[pairs.b[i]] for i in kept]),
        pairs=_shown(dataset, pairs, kept, row_of),
        preprocessing=preprocessing,
    )


def _shown(dataset: Dataset, pairs: PairList, kept: list[int], row_of: dict[str, int]) -> ValidationPairs:
    named = [[dataset.name], *([pairs.a[i], pairs.b[i], bool(pairs.same[i])] for i in kept)]
    people = np.array([[dataset.labels[row_of[item]] for item in (pairs.a[i], pairs.b[i])] for i in kept])
    numbers = np.unique(people, return_inverse=True)[1].reshape(-1, 2)
    return ValidationPairs(
        fingerprint=hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        first=numbers[:, 0],
        second=numbers[:, 1],
        same=pairs.same[kept],
    )
