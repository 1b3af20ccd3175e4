"""Networks lent to analyses that run them on a bounded number of images, with weights of their choice."""

import copy
import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.modules.batchnorm import _BatchNorm

from embedlab import closure
from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import Probe, prepare
from embedlab.digest import Digest
from embedlab.errors import UserError
from embedlab.estimates import counted
from embedlab.lab import weights
from embedlab.lab.embeddings import drawn
from embedlab.lab.weights import LayerWeights, Wire
from embedlab.networks import wiring
from embedlab.networks.blocks import Backbone

IMAGES, EACH, BATCH, PLACES = 512, 4, 32, 4


class LiveNetwork:
    """A backbone and images, as `embedlab.lab.live.Live` has it.

    Of at most ``IMAGES`` images, ``EACH`` of a person, one half of the people sets norm statistics and the
    other judges.

    Parameters
    ----------
    embedder
        The network, a `embedlab.networks.embedder.Embedder`; its backbone is copied before it is changed.
    dataset, probe
        The images, and how they are shown.
    recipe
        What two trainings of one recipe share; empty if unknown.
    people
        How many of the people are drawn, as `embedlab.lab.embeddings.drawn` does; 0 takes all.

    Raises
    ------
    UserError
        If the network is no backbone of this package, or two people with two images are not there.
    """

    def __init__(
        self, embedder: Any, dataset: Dataset, probe: Probe, recipe: str = "", people: int = 0
    ) -> None:
        if not isinstance(getattr(embedder, "network", None), Backbone):
            raise UserError(
                f"{embedder.name} is no network whose weights can be changed here: train or import one of "
                "embedlab's own backbones"
            )
        self.embedder, self.dataset, self.recipe = embedder, dataset, recipe
        self.model, self.probe, self._shown = embedder.name, str(probe), probe
        self.people = people
        self._setting, self._judging = _dealt(dataset, people)

    @property
    def title(self) -> str:
        """Images and network in words."""
        return f"{self.probe} through {self.model}"

    @cached_property
    def fingerprint(self) -> str:
        """A hash of weights, images and how they are shown, and of the code here."""
        digest, code = Digest(), closure.fingerprint(__name__)
        shown = (self.dataset.fingerprint, self.probe, str(self.people))
        for text in (self.embedder.fingerprint, *shown, self.recipe, code):
            digest.text(text)
        return digest.hexdigest()

    @cached_property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """All weights and statistics by name."""
        state = self.embedder.network.state_dict()
        return {name: one.detach().cpu().contiguous().numpy().copy() for name, one in state.items()}

    @cached_property
    def wires(self) -> Mapping[str, Wire]:
        """Which channels each layer reads and writes."""
        network = self.embedder.network
        assert isinstance(network, Backbone)
        return wiring.traced(network)

    @cached_property
    def weights(self) -> LayerWeights:
        """Convolutions and norm layers, wired as the network itself is."""
        found = weights.of_tensors(self.tensors, self.model)
        family = str(getattr(self.embedder.network, "family", ""))
        return LayerWeights(
            found.model, found.layers, found.norms, self.recipe, found.slopes, family, self.wires
        )

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """The people of the images that judge, 0…people−1."""
        return np.unique(self.dataset.labels[self._judging], return_inverse=True)[1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the people and images that judge."""
        people = np.unique(self.dataset.labels[self._judging])
        named = [self.dataset.identities[k] for k in people]
        return (*named, *(self.dataset.items[k] for k in self._judging))

    @cached_property
    def _inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The images that set statistics and those that judge, as the network takes them."""
        preprocessing = self.embedder.preprocessing

        def read(rows: np.ndarray) -> torch.Tensor:
            try:
                shown = [
                    prepare(self.dataset.image(int(k)), self._shown.pixels, preprocessing.size) for k in rows
                ]
            except UnreadableImage as error:
                raise UserError(f"{self.title}: {error}: mend or remove that image") from None
            return torch.from_numpy(preprocessing.apply(np.stack(shown))).to(self.embedder.device)

        return read(self._setting), read(self._judging)

    @torch.no_grad()
    def embed(self, tensors: Mapping[str, np.ndarray]) -> Float[np.ndarray, "n d"]:
        """Embed the images that judge by other weights, norm statistics set anew by the other images."""
        network = self._with(tensors)
        return np.concatenate(
            [network(some).float().cpu().numpy() for some in torch.split(self._inputs[1], BATCH)]
        )

    @torch.no_grad()
    def responses(self) -> Mapping[str, Float[np.ndarray, "n k"]]:
        """Give what each convolution says of the images that judge, averaged to ``PLACES`` squared places."""
        network, found = self._with(self.tensors), dict[str, list[np.ndarray]]()

        def keep(name: str) -> Any:
            def hook(_module: nn.Module, _given: Any, out: torch.Tensor) -> None:
                places = min(PLACES, *out.shape[2:])
                mean = adaptive_avg_pool2d(out.float(), places).flatten(1)
                found.setdefault(name, []).append(mean.cpu().numpy())

            return hook

        for name in self.weights.layers:
            network.get_submodule(name).register_forward_hook(keep(name))
        for some in torch.split(self._inputs[1], BATCH):
            network(some)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _with(self, tensors: Mapping[str, np.ndarray]) -> nn.Module:
        """Copy the network, give it these weights, and set its norm statistics: means over all batches."""
        network: nn.Module = copy.deepcopy(self.embedder.network)
        network.load_state_dict({name: torch.from_numpy(np.array(one)) for name, one in tensors.items()})
        network.to(self.embedder.device).eval()
        norms = [one for one in network.modules() if isinstance(one, _BatchNorm)]
        for one in norms:
            one.reset_running_stats()
            one.momentum = None
            one.train()
        for some in torch.split(self._inputs[0], BATCH) if norms else ():
            if len(some) > 1:  # A norm layer over single numbers takes no batch of one.
                network(some)
        return network.eval()


def _dealt(dataset: Dataset, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Deal people with two images or more into two halves, by their names' hashes; give both halves' rows.

    Every network is shown the same images, whatever order the data set lists them in.
    """

    def place(name: str) -> bytes:
        return hashlib.sha256(name.encode()).digest()

    labels, there = np.asarray(dataset.labels), drawn(dataset.identities, people)
    several = [k for k, count in Counter(labels.tolist()).items() if count > 1 and there[k]]
    several.sort(key=lambda k: place(dataset.identities[k]))
    rows: list[list[int]] = [[], []]
    for turn, person in enumerate(several[: 2 * (IMAGES // EACH)]):
        mine = sorted(np.flatnonzero(labels == person).tolist(), key=lambda k: place(dataset.items[k]))
        if len(rows[turn % 2]) + EACH <= IMAGES // 2:
            rows[turn % 2] += mine[:EACH]
    if not rows[1]:
        raise UserError(
            f"{dataset.name} has {counted(len(several), 'person', 'people')} with two images: two are "
            "needed, one to set norm statistics and one to judge; add images"
        )
    return np.array(rows[0]), np.array(rows[1])
