"""The way between planted networks: equal, permuted, and such as have nothing in common."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from embedlab.analyses.barrier import (
    AS_THEY_ARE,
    ENDS,
    HALFWAY,
    MATCHED,
    TAR,
    BarrierParams,
    charts,
    compute,
    findings,
)
from embedlab.errors import UserError
from embedlab.maths.kernels.channel_matching import rewired
from tests.planted import embedding_set
from tests.planted_live import DIMENSION, WIDE, WIRES, Planted

QUICK = BarrierParams(resamples=200, shuffles=99)
COLOURS = WIDE // 2


@dataclass(frozen=True)
class Faithful(Planted):
    """A network whose vector is the image: each colour goes through as what is above zero, and what is below.

    With an ``order`` its channels are permuted, which leaves what it does as it is.
    """

    order: int | None = None

    @property
    def tensors(self):
        both = np.concatenate([np.eye(COLOURS), -np.eye(COLOURS)]).astype(np.float32)
        # No two kernels are of one size, so that channels can be told apart.
        sizes = np.linspace(1, 2, WIDE).astype(np.float32)[:, None]
        found = {
            "first.weight": (sizes * both)[:, :, None, None],
            "second.weight": np.diag(1 / sizes[:, 0])[:, :, None, None],
            "out.weight": both.T.copy(),
        }
        if self.order is None:
            return found
        rng = np.random.default_rng(self.order)
        return rewired(found, WIRES, {group: rng.permutation(WIDE) for group in ("first", "second")})


def people(model="a", count=60, noise=0.35):
    return embedding_set(count, images=4, dimension=COLOURS, noise=noise, model=model)


def test_equal_networks_have_no_barrier_and_respond_alike():
    found = compute(Faithful(people()), Faithful(people("b")), QUICK)
    gap = found.estimates[TAR, ENDS] - found.at(MATCHED, HALFWAY)
    assert (gap.value, gap.low, gap.high) == (0, 0, 0)
    np.testing.assert_allclose(found.cka, 1)
    assert found.p_value == found.least_p == 0.01
    assert abs(found.null).max() < 0.05
    first, second, alike = findings([found])
    assert "there is no difference" in first.text
    assert "there is no difference" in second.text
    assert "respond alike to one image (CKA 1.00 on average over 2 layers, 1.00 in the first" in alike.text


def test_a_permuted_copy_has_a_barrier_until_its_channels_are_matched():
    one, other = Faithful(people()), Faithful(people("b"), order=3)
    np.testing.assert_allclose(other.embed(other.tensors), one.embed(one.tensors), atol=1e-6)
    found = compute(one, other, QUICK)
    ends = found.estimates[TAR, ENDS]
    assert (ends - found.at(MATCHED, HALFWAY)).value == pytest.approx(0, abs=0.01)
    plain = ends - found.at(AS_THEY_ARE, HALFWAY)
    assert plain.value > 0.2
    assert plain.sign == 1
    np.testing.assert_allclose(found.cka, 1, atol=1e-6)
    assert (findings([found])[1].claimed, findings([found])[0].claimed) == (True, None)


def test_the_ends_are_the_networks_themselves():
    a, b = Planted(people(), 0), Planted(people("b"), 1)
    there, back = compute(a, b, QUICK), compute(b, a, QUICK)
    for step in (0.0, 1.0):
        assert there.at(MATCHED, step).value == pytest.approx(back.at(MATCHED, 1 - step).value, abs=1e-9)
    mean = (there.at(MATCHED, 0.0).value + there.at(MATCHED, 1.0).value) / 2
    assert there.estimates[TAR, ENDS].value == pytest.approx(mean)
    assert there.steps.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert len(charts([there, back, there])) == 4


def test_two_trainings_of_one_recipe_are_called_so():
    class OneRecipe(Faithful):
        @property
        def weights(self):
            return dataclasses.replace(super().weights, recipe="r")

    found = compute(OneRecipe(people()), OneRecipe(people("b")), QUICK)
    assert found.one_recipe
    assert "a and b, two trainings of one recipe, channels matched" in findings([found])[0].text


def test_a_layer_that_tells_no_image_from_another_is_left_out_and_all_of_them_are_refused():
    class Dumb(Faithful):
        @property
        def tensors(self):
            found = super().tensors
            return found | {name: 0 * found[name] for name in self.silent}

    half, whole = (
        type("Half", (Dumb,), {"silent": ("second.weight",)}),
        type("Whole", (Dumb,), {"silent": ("first.weight", "second.weight")}),
    )
    assert compute(Faithful(people()), half(people("b")), QUICK).layers == ("first",)
    with pytest.raises(UserError, match="no layer of both networks tells two images apart"):
        compute(Faithful(people()), whole(people("b")), QUICK)


def test_what_has_no_line_or_no_pairs_is_refused():
    one = Faithful(people())
    wide = Planted(embedding_set(20, images=4, dimension=COLOURS + 1, model="b"))
    with pytest.raises(UserError, match="a and b are of unlike shape"):
        compute(one, wide, QUICK)
    alone = Faithful(embedding_set(20, images=1, dimension=COLOURS))
    with pytest.raises(UserError, match="nobody has two images"):
        compute(alone, alone, QUICK)
    with pytest.raises(UserError, match="impostor pairs resolve no FAR of 1e-07"):
        compute(one, one, dataclasses.replace(QUICK, far=1e-7))
    assert one.embed(Planted(people()).tensors).shape[1] == DIMENSION
