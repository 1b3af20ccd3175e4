"""A network in numpy that runs on the rows of an embedding set as if they were images of one pixel."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.weights import FIXED, LayerWeights, Wire, of_tensors

WIDE, DIMENSION = 8, 6
WIRES = {
    "first": Wire(FIXED, "first"),
    "second": Wire("first", "second"),
    "out": Wire("second", FIXED),
}


@dataclass(frozen=True)
class Planted:
    """Two convolutions of one pixel and a linear layer, drawn by a seed; it has no norm statistics."""

    images: EmbeddingSet
    seed: int = 0

    @property
    def title(self) -> str:
        return f"{self.probe} through {self.model}"

    @property
    def model(self) -> str:
        return self.images.model

    @property
    def probe(self) -> str:
        return self.images.probe

    @property
    def fingerprint(self) -> str:
        return f"{self.images.fingerprint} {self.seed}"

    @property
    def tensors(self):
        rng, colours = np.random.default_rng([29, self.seed]), self.images.unit.shape[1]
        shapes = {"first": (WIDE, colours, 1, 1), "second": (WIDE, WIDE, 1, 1), "out": (DIMENSION, WIDE)}
        return {f"{name}.weight": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    @property
    def wires(self):
        return WIRES

    @property
    def weights(self) -> LayerWeights:
        found = of_tensors(self.tensors, self.model)
        return dataclasses.replace(found, family="planted", wires=WIRES)

    @property
    def labels(self):
        return self.images.labels

    @property
    def names(self):
        return (*self.images.identities, *self.images.items)

    def embed(self, tensors):
        return self._run(tensors)["out"]

    def responses(self):
        found = self._run(self.tensors)
        return {name: found[name] for name in ("first", "second")}

    def _run(self, tensors):
        rows, found = self.images.unit, {}
        for name in WIRES:
            weight = tensors[f"{name}.weight"]
            found[name] = rows @ weight.reshape(len(weight), -1).T
            rows = np.maximum(found[name], 0)
        return found
