"""Vectors along most dimensions use the sphere; vectors along few do not."""

import pytest

from embedlab.analyses.geometry import RANK, RESULTANT, Geometry
from embedlab.estimates import Estimates
from embedlab.questions.sphere import QUESTION
from tests.questions.planted import bare, by_key, told


@pytest.mark.parametrize(("rank", "verdict"), [(60, "yes"), (5, "no"), (32, "undecided")])
def test_planted_spreads_are_called_what_they_are(rank, verdict):
    found = by_key({(RANK, "faces"): rank, (RANK, "faces@8"): 1}, sd=0.5)
    result = bare(Geometry, title="a", probes=("faces", "faces@8"), dimension=64, estimates=found)
    (one,) = told(QUESTION, geometry=[result])
    assert one.verdict == verdict
    assert f"{rank} of 64 dimensions" in one.text


def test_a_narrow_cone_does_not_use_the_sphere_however_many_dimensions_it_has():
    found = by_key({(RANK, "faces"): 60}, sd=0.5) | by_key({(RESULTANT, "faces"): 0.995}, sd=0.001)
    result = bare(Geometry, title="a", probes=("faces",), dimension=64, estimates=Estimates(found))
    (one,) = told(QUESTION, geometry=[result])
    assert one.verdict == "no"
    assert "along 1 of 64 dimensions" in one.text
    assert one.effect.low <= one.effect.value <= one.effect.high


def test_a_share_is_never_more_than_all():
    found = by_key({(RANK, "faces"): 66}, sd=0.5)
    (one,) = told(
        QUESTION, geometry=[bare(Geometry, title="a", probes=("faces",), dimension=64, estimates=found)]
    )
    assert one.effect.value == 1


def test_the_share_lies_in_its_interval_where_a_short_mean_adds_a_direction():
    found = by_key({(RANK, "faces"): 15.8}, sd=0.1) | by_key({(RESULTANT, "faces"): 0.15}, sd=0.05)
    result = bare(Geometry, title="a", probes=("faces",), dimension=16, estimates=Estimates(found))
    (one,) = told(QUESTION, over=20, geometry=[result])
    assert one.effect.low < one.effect.value <= one.effect.high
