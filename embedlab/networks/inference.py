"""A torch network as the extractor sees it, on the CPU or on a card."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import cycle
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from embedlab import compute
from embedlab.networks.embedder import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn

CHUNK_PIXELS = 4 * 144 * 144
"""The most pixels of input a call on the CPU: few enough that feature maps stay in the cache. A fixed number
of images on one thread each gives the same bits whatever the batch."""

TRANSFER = 256
"""Images a transfer to a card; while one lot is computed the next is on its way."""


@dataclass(slots=True)
class TorchEmbedder:
    """A torch network as the extractor sees it (`embedlab.networks.embedder.Embedder`).

    Backbones of this package work on the CPU in a folded copy (`embedlab.networks.folding`), a few images a
    call, one call a thread; wide ones in bfloat16 where the processor is faster in it and vectors stay close.
    On a card a network works in bfloat16, and images are sent as bytes.
    """

    name: str
    preprocessing: Preprocessing
    dimension: int
    fingerprint: str
    network: "nn.Module"
    device: str
    assumed_preprocessing: bool = False
    _folded: "nn.Module | None" = field(default=None, repr=False)
    _tried: bool = field(default=False, repr=False)
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)

    @property
    def precision(self) -> str:
        """The type of numbers that it computes with."""
        from embedlab.networks.folding import Halved

        if self.device.startswith("cuda"):
            return _card_type()
        self._settle()
        return "bfloat16" if isinstance(self._folded, Halved) else "float32"

    @property
    def usual_batch(self) -> int:
        """Images that keep the device busy; the same for any number of threads."""
        return max(128, 8 * self._step) if self.device == "cpu" else 4 * TRANSFER

    @property
    def _step(self) -> int:
        """Images a call on the CPU: a power of two, so that batches are whole numbers of calls."""
        return 1 << max(1, CHUNK_PIXELS // self.preprocessing.size**2).bit_length() - 1

    def embed(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Turn RGB images of ``preprocessing.size`` into float32 vectors, not normalised."""
        if self._folded is None:
            return self._sent(images)
        self._settle()
        step = self._step
        chunks = [images[k : k + step] for k in range(0, len(images), step)]
        if self._pool is None and len(chunks) > 1:
            self._pool = _pool()
        mapped = map if self._pool is None else self._pool.map
        return np.concatenate(list(mapped(lambda chunk: self._called(chunk, step), chunks)))

    def _settle(self) -> None:
        """Try once, before the first images, whether bfloat16 serves."""
        from embedlab.networks.folding import halved

        if self._folded is not None and not self._tried and compute.multiplies_bfloat16():
            self._folded = halved(self._folded, self.preprocessing.size) or self._folded
        self._tried = True

    def _called(self, images: UInt8[np.ndarray, "m s s 3"], n: int) -> Float[np.ndarray, "m d"]:
        """Embed up to ``n`` images as a call of ``n``, so that every call does the same arithmetic."""
        import torch

        m = len(images)
        if m < n:
            images = np.concatenate([images, np.repeat(images[-1:], n - m, axis=0)])
        assert self._folded is not None
        with torch.inference_mode():
            batch = torch.from_numpy(self.preprocessing.apply(images))
            vectors: np.ndarray = self._folded(batch.contiguous(memory_format=torch.channels_last)).numpy()
        return vectors[:m]

    def _sent(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Embed on the device, whose next images are on their way while it computes."""
        import torch

        found = []
        with torch.inference_mode():
            for lot in _transferred(images, self.device):
                vectors = self._computed(lot)
                if self.device.startswith("cuda"):
                    kept = torch.empty(vectors.shape, pin_memory=True)
                    kept.copy_(vectors, non_blocking=True)
                    vectors = kept
                found.append(vectors)
            if self.device.startswith("cuda"):
                torch.cuda.current_stream().synchronize()
        return np.concatenate([vectors.cpu().numpy() for vectors in found])

    def _computed(self, lot: "Tensor") -> "Tensor":
        """Run the network on images that are on the device, as bytes."""
        import torch

        from embedlab.networks.backbones import memory_format

        cuda = self.device.startswith("cuda")
        channels = lot.permute(0, 3, 1, 2)
        ordered = channels.flip(1) if self.preprocessing.channels == "BGR" else channels
        mean, std = (
            torch.tensor(values, dtype=torch.float32).to(lot.device)[:, None, None]
            for values in (self.preprocessing.mean, self.preprocessing.std)
        )
        batch = (ordered.float() - mean) / std
        with torch.autocast("cuda", getattr(torch, _card_type())) if cuda else nullcontext():
            vectors = self.network(batch.contiguous(memory_format=memory_format(self.device)))
        return vectors.float()  # type: ignore[no-any-return]


def _card_type() -> str:
    import torch

    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def _transferred(images: UInt8[np.ndarray, "n s s 3"], device: str) -> "Iterator[Tensor]":
    """Give lots of images on the device, each sent while the one before it is computed.

    Two pinned buffers take turns on a stream of their own; a buffer is filled again when it has been sent.
    Where there is no such thing as a stream, lots are sent one after the other.
    """
    import torch

    lots = [
        torch.from_numpy(np.ascontiguousarray(images[k : k + TRANSFER]))
        for k in range(0, len(images), TRANSFER)
    ]
    if not device.startswith("cuda"):
        yield from (lot.to(device) for lot in lots)
        return
    copying, computing = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
    events = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]
    buffers = cycle([(torch.empty_like(lots[0], pin_memory=True), event) for event in events])

    def send(lot: "Tensor") -> "tuple[Tensor, Any]":
        buffer, sent = next(buffers)
        sent.synchronize()
        buffer[: len(lot)].copy_(lot)
        with torch.cuda.stream(copying):
            there = buffer[: len(lot)].to(device, non_blocking=True)
            sent.record(copying)
        there.record_stream(computing)
        return there, sent

    ahead = send(lots[0])
    for following in [*lots[1:], None]:
        there, sent = ahead
        computing.wait_event(sent)
        yield there
        # The caller has queued the computation by now and not waited for it.
        if following is not None:
            ahead = send(following)


def _pool() -> ThreadPoolExecutor:
    """Start as many threads as torch would use, each of which does its arithmetic alone."""
    import torch

    threads = torch.get_num_threads()
    started = Barrier(threads + 1)

    def begin() -> None:
        # A thread takes over the process's number when it first asks, and keeps what it sets after that.
        torch.get_num_threads()
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(threads, initializer=begin)
    for _ in range(threads):
        pool.submit(int)
    started.wait()
    # What a thread sets is also what threads that are started later get.
    torch.set_num_threads(threads)
    return pool


def embedder(
    name: str, network: "nn.Module", preprocessing: Preprocessing, fingerprint: str, device: str
) -> TorchEmbedder:
    """Make a network ready to embed on a device.

    Parameters
    ----------
    name
        The model's name in the lab.
    network
        Turns normalised images (n, 3, s, s) into vectors (n, d); its attribute ``dimension`` is d.
    preprocessing
        The contract its images keep.
    fingerprint
        sha256 of its weights.
    device
        ``cpu``, ``cuda`` or ``mps``.
    """
    from embedlab.networks.backbones import placed
    from embedlab.networks.blocks import Backbone
    from embedlab.networks.folding import folded

    network = placed(network.eval().requires_grad_(False), device)
    made = TorchEmbedder(name, preprocessing, int(network.dimension), fingerprint, network, device)  # type: ignore[arg-type]
    if device == "cpu" and isinstance(network, Backbone):
        made._folded = folded(network)
    return made
