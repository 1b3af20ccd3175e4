"""The images that several models share: which, in whose order, and what is left out."""

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.likeness.shared import FEWEST_PEOPLE, shared


def model(name, people, seed=0, without=(), d=4):
    """Of each person so many images; each image has one vector in all models of a seed, as it is called."""
    items = [f"{p:02d}-{k}" for p, count in enumerate(people) for k in range(count)]
    rows = np.random.default_rng(seed).normal(size=(len(items), d))
    kept = np.random.default_rng(len(name)).permutation([k for k, i in enumerate(items) if i not in without])
    return EmbeddingSet.from_rows(
        name, "p", rows[kept], [items[k] for k in kept], [f"person{items[k][:2]}" for k in kept]
    )


def test_rows_are_the_images_of_all_models_by_name():
    sets = [
        model("a", [3] * 12, without=["00-0"]),
        model("bb", [3] * 12, without=["00-0", "01-1"]),
        model("ccc", [3] * 12, without=["02-2"]),
    ]
    found = shared(sets, 0, together=False)
    assert found.images.items.tolist() == sorted(set(model("a", [3] * 12).items) - {"00-0", "01-1", "02-2"})
    assert (found.dropped, found.uneven) == (3, 0)
    for one in found.vectors:
        np.testing.assert_array_equal(one, found.vectors[0])
        np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, rtol=1e-6)


def test_people_who_change_places_keep_as_many_images_as_a_few_others():
    """One of twenty-one has nine images: six are left out, and none where rows change places."""
    sets = [model(name, [9] + [3] * 20) for name in ("a", "bb")]
    found = shared(sets, 0)
    assert np.bincount(found.images.labels).tolist() == [3] * 21
    assert (found.dropped, found.uneven) == (0, 6)
    assert [len(one) for one in found.vectors] == [63, 63]
    again = shared(sets, 0)
    assert again.images.items.tolist() == found.images.items.tolist()
    assert shared(sets, 1).images.items.tolist() != found.images.items.tolist()
    assert shared(sets, 0, together=False).uneven == 0


def test_one_model_and_too_few_people_are_refused():
    with pytest.raises(UserError, match="a is the only model.*name a second one"):
        shared([model("a", [2] * 12)], 0)
    nine = [2] * (FEWEST_PEOPLE - 1)
    with pytest.raises(UserError, match="share only 9: give images of at least 10"):
        shared([model("a", nine), model("bb", [2] * 12)], 0)
    assert shared([model("a", [*nine, 2]), model("bb", [2] * 12)], 0).images.identities


def test_a_model_whose_vectors_are_one_is_named():
    one = model("bb", [2] * 12)
    dull = EmbeddingSet.from_rows(
        "bb", "p", np.ones((24, 4)), one.items.tolist(), [one.identities[k] for k in one.labels]
    )
    with pytest.raises(UserError, match="all vectors of p in bb are one"):
        shared([model("a", [2] * 12), dull], 0)
