import dataclasses

import numpy as np
import pytest

from embedlab.analyses import norms
from embedlab.analyses.norms import NormsParams
from embedlab.maths.space import sphere
from tests.planted import embedding_set
from tests.qualities import faces, made

FEW = NormsParams(resamples=200)


def texts(*results):
    return [finding.text for finding in norms.findings(list(results))]


def test_norms_that_grow_with_quality_foretell_recognition():
    found = norms.compute((faces(),), FEW)
    auc = found.estimates.at(norms.FORETOLD, ("p",))
    assert auc.low > 0.6
    assert auc.null == 0.5
    text = texts(found)[0]
    assert text.startswith(
        f"On p in m, recognised images have longer vectors than others in {auc.value:.0%} of"
    )
    assert f": a difference of +{100 * (auc.value - 0.5):.1f} points [" in text
    assert found.by_norm[0, 0, -1] > found.by_norm[0, 0, 0] + 0.2
    assert found.by_norm[0, 0].mean() == pytest.approx(found.estimates[norms.RECOGNISED, "p"].value, abs=1e-6)


def test_norms_that_shrink_with_quality_are_told_as_they_are():
    a = faces()
    turned = dataclasses.replace(a, vectors=a.unit * (30 - a.norms[:, None]))
    assert ": a difference of -" in texts(norms.compute((turned,), FEW))[0]


def test_norms_without_meaning_are_not_called_quality():
    found = norms.compute((faces(quality=False),), FEW)
    auc = found.estimates.at(norms.FORETOLD, ("p",))
    assert auc.low < 0.5 < auc.high
    assert texts(found)[0].endswith("may be chance.")


def test_an_auc_that_rests_on_few_people_is_not_spoken_of():
    a = faces(noise=0.4)
    found = norms.compute((a,), FEW)
    auc = found.estimates.at(norms.FORETOLD, ("p",))
    assert 0 < auc.n < norms.STABLE
    assert f"too few people have a recognised image, or an unrecognised one ({auc.n} on p)" in texts(found)[0]


def test_perfect_recognition_leaves_nothing_to_foretell():
    found = norms.compute((faces(noise=0.05),), FEW)
    assert found.estimates[norms.RECOGNISED, "p"].value == 1.0
    assert found.estimates[norms.RECOGNISED, "p"].low == pytest.approx(1 - 3 / 120)
    assert found.estimates.at(norms.FORETOLD, ("p",)) is None
    assert "either every image of a probe is recognised or none is" in texts(found)[0]


def test_chance_of_recognition_is_that_of_a_random_neighbour():
    found = norms.compute(
        (made(sphere.uniform(300, 16, np.random.default_rng(3)), np.arange(300) // 3),), FEW
    )
    recognised = found.estimates[norms.RECOGNISED, "p"]
    assert recognised.null == pytest.approx(2 / 299)
    assert recognised.low <= recognised.null <= recognised.high


def test_vectors_of_one_length_say_nothing_of_quality():
    a = faces()
    found = norms.compute((dataclasses.replace(a, vectors=a.unit),), FEW)
    assert found.estimates.at(norms.FORETOLD, ("p",)) is None
    assert texts(found) == ["The vectors of m come at one length, so their norm says nothing."]
    assert not any("recognised" in chart.title for chart in norms.charts([found]))


def test_a_shorter_vector_of_the_same_image_is_found_and_the_order_of_rows_is_none_of_it():
    a = faces()
    less = np.random.default_rng(2).uniform(0.7, 0.9, size=(len(a.items), 1))
    b = dataclasses.replace(a, probe="p@32", vectors=(a.vectors * less).astype(np.float32))
    b = b.take(np.random.default_rng(3).permutation(len(b.items))[:400])
    found = norms.compute((a, b), FEW)
    kept = np.isin(a.items, b.items)
    ratio = (a.norms * less[:, 0])[kept].mean() / a.norms[kept].mean()
    change = found.estimates[norms.CHANGE, "p", "p@32"]
    assert change.value == pytest.approx(ratio - 1, abs=1e-6)
    assert change.low < ratio - 1 < change.high < 0 == change.null
    said = next(f for f in norms.findings([found]) if f.gap == change)
    start = "In m, vectors on p@32 have another mean length than on p: a change of -20."
    assert said.text.startswith(start)
    bars = norms.charts([found])[-1]
    assert bars.series[0].values.tolist() == pytest.approx([a.norms.mean(), b.norms.mean()])


def test_a_norm_that_only_wavers_may_have_changed_by_chance():
    a = faces()
    wavered = a.vectors * np.random.default_rng(2).uniform(0.9, 1.1, size=(len(a.items), 1))
    b = dataclasses.replace(a, probe="p@32", vectors=wavered.astype(np.float32))
    assert texts(norms.compute((a, b), FEW))[-1].endswith("may be chance.")


def test_probes_without_a_common_image_have_no_change_of_norm():
    a = faces()
    b = dataclasses.replace(faces(seed=1, probe="q"), items=np.char.add("other", a.items))
    assert not norms.compute((a, b), FEW).estimates.places(norms.CHANGE)


def test_without_a_second_image_of_anybody_it_is_said_why():
    found = norms.compute((embedding_set(people=80, images=1),), FEW)
    assert any("nobody has two images of one probe" in t for t in texts(found))
    assert norms.charts([found])
