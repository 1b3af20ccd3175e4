import dataclasses

import numpy as np
import pytest

from embedlab.analyses import directions
from embedlab.analyses.directions import COMMON, DirectionsParams
from embedlab.charts import Curves, Table
from embedlab.errors import UserError
from embedlab.lab.weights import LayerWeights
from tests.analyses.test_layers import chain, noisy, permuted

FEW = DirectionsParams(restarts=1)


def texts(*results):
    return [one.text for one in directions.findings(results)]


def test_a_permuted_copy_has_all_its_directions_in_common():
    found = directions.compute(chain(), permuted(chain(), model="b"), FEW)
    assert found.whole.value == pytest.approx(1, abs=1e-6)
    assert found.whole.null < 0.4
    assert all(found.by_layer[COMMON, name].value == pytest.approx(1, abs=1e-6) for name in found.layers)
    said = texts(found)
    assert said[0].startswith(
        "With channels matched, layers of a and b have strong directions in common (1.00,"
    )
    assert said[1] == "One by one, 3 of 3 layers of a and b have strong directions in common."


def test_noise_takes_directions_away_and_leaves_them_found():
    found = [directions.compute(chain(), noisy(permuted(chain()), k, model="b"), FEW) for k in (0.3, 1.0)]
    assert 1 > found[0].whole.value > found[1].whole.value > found[1].whole.null + 0.2
    assert all(one.p_value < 0.001 for one in found)


def test_networks_without_relation_are_claimed_no_more_often_than_chance_allows():
    found = [directions.compute(chain("a", 2 * k + 90), chain("b", 2 * k + 91), FEW) for k in range(20)]
    assert sum(one.p_value <= 0.05 for one in found) <= 4
    assert sum((one.p_values <= 0.05).any() for one in found) <= 4
    assert "are not shown to have strong directions in common" in " ".join(texts(found[0]))


def test_two_seeds_of_one_recipe_are_the_ceiling_and_many_pairs_are_told_in_one_sentence():
    pair = directions.compute(chain(recipe="r"), permuted(chain(), model="b", recipe="r"), FEW)
    assert texts(pair)[-1] == "Two seeds of one recipe, a and b, have 1.00 of strong directions in common."
    many = texts(*[dataclasses.replace(pair, one_recipe=False)] * 3)
    assert many == ["With channels matched, 3 of 3 pairs of networks have strong directions in common."]


def test_pictures_name_the_null_and_tables_every_layer():
    found = directions.compute(chain(), permuted(chain(), model="b"), FEW)
    curve, pairs, layers = directions.charts([found])
    assert isinstance(curve, Curves)
    assert [one.role for one in curve.curves] == ["after", "null"]
    assert all(isinstance(one, Table) for one in (pairs, layers))
    assert [row[1] for row in layers.rows] == list(found.layers)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UserError, match="has no convolution layers"):
        directions.compute(LayerWeights("none", {}, {}), chain(), FEW)
    blank = {name: np.zeros_like(kernels) for name, kernels in chain().layers.items()}
    with pytest.raises(UserError, match="share are zero"):
        directions.compute(chain(), dataclasses.replace(chain("b"), layers=blank), FEW)
