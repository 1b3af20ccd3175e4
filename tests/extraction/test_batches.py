from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from embedlab.data.datasets import UnreadableImage
from embedlab.data.degradations import prepare
from embedlab.extraction.batches import Task, embedded_parts, read_ahead

BROKEN = 3


def image(i):
    return np.random.default_rng(i).integers(0, 256, (12, 10, 3), dtype=np.uint8)


class Images:
    def __len__(self):
        return 9

    def image(self, i):
        if i == BROKEN:
            raise UnreadableImage("it is broken")
        return image(i)


class Means:
    """Gives the mean of each half of the image."""

    dimension = 2
    preprocessing = SimpleNamespace(size=8)

    def __init__(self):
        self.calls = []

    def embed(self, images):
        self.calls.append(len(images))
        assert images.flags.c_contiguous
        return np.stack([images[:, :, :4].mean((1, 2, 3)), images[:, :, 4:].mean((1, 2, 3))], 1).astype("f4")


@pytest.fixture
def task():
    return Task(Means(), Images(), batch=4, flip=False, strict=False)


def test_images_come_in_order_as_each_probe_shows_them(task):
    found = list(read_ahead(task, [(row, (None, 4) if row % 2 else (6,)) for row in (8, 1, BROKEN, 0)]))
    assert found[2] == "it is broken"
    for row, pixels, shown in [(8, (6,), found[0]), (1, (None, 4), found[1]), (0, (6,), found[3])]:
        assert len(shown) == len(pixels)
        for side, one in zip(pixels, shown, strict=True):
            assert np.array_equal(one, prepare(image(row), side, 8))


@pytest.mark.parametrize("batch", [1, 24, 200])
def test_images_come_in_order_however_many_a_thread_reads_in_a_row(task, batch):
    rows = [int(row) for row in np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 5, 8], 31))]
    found = list(read_ahead(replace(task, batch=batch), [(row, (None,)) for row in rows]))
    assert len(found) == len(rows)
    for row, (shown,) in zip(rows, found, strict=True):
        assert np.array_equal(shown, prepare(image(row), None, 8))


def test_a_part_for_each_probe_is_made_in_the_batches_it_would_have_alone(task):
    parts = embedded_parts(task, range(9), 2, read_ahead(task, ((row, (None, 4)) for row in range(9))))
    assert task.embedder.calls == [4, 4, 4, 4]
    for pixels, part in zip((None, 4), parts, strict=True):
        good = [row for row in range(9) if row != BROKEN]
        assert part.rows.tolist() == good
        assert part.skipped == ((BROKEN, "it is broken"),)
        expected = Means().embed(np.stack([prepare(image(row), pixels, 8) for row in good]))
        assert np.array_equal(part.vectors, expected)


def test_the_mirror_images_vector_is_added(task):
    flipped = Task(task.embedder, task.dataset, 4, flip=True, strict=False)
    (part,) = embedded_parts(flipped, range(2), 1, read_ahead(flipped, [(0, (None,)), (1, (None,))]))
    (plain,) = embedded_parts(task, range(2), 1, read_ahead(task, [(0, (None,)), (1, (None,))]))
    np.testing.assert_allclose(part.vectors, plain.vectors + plain.vectors[:, ::-1], rtol=1e-6)


def test_a_run_of_broken_images_is_an_empty_part(task):
    (part,) = embedded_parts(task, range(BROKEN, BROKEN + 1), 1, read_ahead(task, [(BROKEN, (None,))]))
    assert part.vectors.shape == (0, 2)
    assert task.embedder.calls == []
