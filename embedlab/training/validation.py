"""Pair accuracy on people the network has not seen, epoch by epoch."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import prepare
from embedlab.errors import UserError
from embedlab.networks.backbones import IRSE18, memory_format
from embedlab.networks.embedder import Preprocessing
from embedlab.protocols import PairList

FOLDS = 10
SHRUNK = 32
BATCH = 32


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
    same
        Whether both show one person.
    preprocessing
        The contract of the network's input.
    """

    images: dict[str, UInt8[np.ndarray, "n s s 3"]]
    a: Int[np.ndarray, " p"]
    b: Int[np.ndarray, " p"]
    same: Bool[np.ndarray, " p"]
    preprocessing: Preprocessing

    @property
    def chance(self) -> float:
        """The accuracy of calling every pair what most of them are."""
        return float(max(self.same.mean(), 1.0 - self.same.mean()))

    def accuracies(self, network: IRSE18, device: str) -> dict[str, float]:
        """Measure ``pair_accuracy`` and ``pair_accuracy@32``; the network is left in training mode."""
        network.eval()
        layout = memory_format(network.width, device)
        measured = {}
        for condition, images in self.images.items():
            vectors = []
            with torch.inference_mode():
                for start in range(0, len(images), BATCH):
                    x = torch.from_numpy(self.preprocessing.apply(images[start : start + BATCH])).to(device)
                    vectors.append(network(x.contiguous(memory_format=layout)).float().cpu())
            unit = torch.nn.functional.normalize(torch.cat(vectors)).numpy()
            scores = np.einsum("pd,pd->p", unit[self.a], unit[self.b])
            measured[f"pair_accuracy{condition}"] = accuracy(scores, self.same)
        network.train()
        return measured


def accuracy(scores: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], folds: int = FOLDS) -> float:
    """Give the share of pairs judged rightly, the threshold of each fold chosen on the others.

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
    right = 0
    for k in range(folds):
        threshold = _best_threshold(scores[fold != k], same[fold != k])
        right += int(((scores >= threshold) == same)[fold == k].sum())
    return right / len(same)


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
    for item in dict.fromkeys((*pairs.a, *pairs.b)):
        try:
            image = dataset.image(row_of[item])
        except UnreadableImage:
            continue
        position[item] = len(position)
        images[""].append(prepare(image, None, preprocessing.size))
        images[f"@{SHRUNK}"].append(prepare(image, SHRUNK, preprocessing.size))
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
        same=same,
        preprocessing=preprocessing,
    )
