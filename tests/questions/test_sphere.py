"""Vectors along most dimensions use the sphere; vectors along few do not."""

import pytest

from embedlab.analyses.geometry import RANK, Geometry
from embedlab.questions.sphere import QUESTION
from tests.questions.planted import bare, by_key, told


@pytest.mark.parametrize(("rank", "verdict"), [(60, "yes"), (5, "no"), (32, "undecided")])
def test_planted_spreads_are_called_what_they_are(rank, verdict):
    found = by_key({(RANK, "faces"): rank, (RANK, "faces@8"): 1}, sd=0.5)
    result = bare(Geometry, title="a", probes=("faces", "faces@8"), dimension=64, estimates=found)
    (one,) = told(QUESTION, geometry=[result])
    assert one.verdict == verdict
    assert f"{rank} of 64 dimensions" in one.text
