from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import f_oneway

from embedlab.analyses import encoding
from embedlab.analyses.encoding import ETA, PROBE, EncodingParams, P
from embedlab.errors import UserError
from embedlab.maths.people.folds import identity_folds
from tests.planted import embedding_set
from tests.versions import noisy, probe

QUICK = EncodingParams(resamples=200, permutations=199)


def on_axes(seed=0, people=120, images=2):
    """Small deviations from one direction: 5 along axis 1, 3 by attribute along axis 2, then noise."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), images)
    group = rng.integers(0, 2, people)[who]
    vectors = np.zeros((len(who), 8))
    vectors[:, 1] = 5 * rng.normal(size=people)[who]
    vectors[:, 2] = 3 * (2 * group - 1) + 0.5 * rng.normal(size=len(who))
    vectors[:, 3:] = 0.7 * rng.normal(size=(len(who), 5))
    vectors[:, 0] = 200
    return vectors, np.where(group == 1, "yes", "no")


def test_a_planted_attribute_is_found_on_its_component_and_nowhere_else():
    vectors, group = on_axes()
    blurred = vectors + 0.3 * np.random.default_rng(9).normal(size=vectors.shape) * (np.arange(8) > 0)
    attributes = {"glasses": group}
    found = encoding.compute(
        (probe(vectors, attributes=attributes), probe(blurred, "p@8", attributes=attributes)), QUICK
    )
    row = found.attributes.index("glasses")
    assert found.eta[row].argmax() == 1
    best = found.estimates[ETA, "glasses"]
    assert best.value == found.eta[row, 1] > 0.9
    assert best.low <= best.value <= best.high
    assert found.eta_p[row, 1] == pytest.approx(1 / 200)
    assert (np.delete(found.eta_p[row], 1) > 0.05).all()
    assert found.p_values[P, PROBE] > 0.05
    resolution, glasses = (f.text for f in encoding.findings([found]))
    assert resolution.startswith("Resolution is not found to explain a leading component of m")
    assert glasses.startswith("The attribute glasses explains at most 9")
    assert "of a leading component of m, of number 2 with" in glasses
    (drawn,) = encoding.charts([found])
    assert "*" in drawn.text[1, row]
    assert "*" not in drawn.text[0, row]


def test_resolution_is_found_on_the_component_it_was_planted_on():
    vectors, _ = on_axes()
    blurred = vectors.copy()
    blurred[:, 3] += 4
    found = encoding.compute((probe(vectors), probe(blurred, "p@8")), QUICK)
    assert found.eta[0].argmax() == np.flatnonzero(found.eta_p[0] <= 0.05)[0]
    assert np.count_nonzero(found.eta_p[0] <= 0.05) == 1
    assert found.estimates[ETA, PROBE].value > 0.85
    assert found.estimates[ETA, PROBE].null < 0.05


def test_eta_squared_is_that_of_an_analysis_of_variance_on_people_not_fitted_on():
    """With one image each and one component the whole of it can be written out."""
    a, b = (probe(noisy(seed, images=1, people=60), name, images=1) for seed, name in ((1, "p"), (2, "p@8")))
    found = encoding.compute((a, b), replace(QUICK, components=1))
    judged = identity_folds(60, 2, 0) == 1
    fitted = np.concatenate([s.unit[~judged] for s in (a, b)]).astype(float)
    axis = np.linalg.svd(fitted - fitted.mean(axis=0))[2][0]
    f = f_oneway(a.unit[judged] @ axis, b.unit[judged] @ axis).statistic
    assert found.eta[0, 0] == pytest.approx(f / (f + 2 * judged.sum() - 2), rel=1e-4)
    assert found.people == judged.sum()


def test_attributes_that_cannot_be_taken_are_named_with_the_reason():
    n = 80
    columns = {
        "age": np.arange(n),
        "all": np.repeat("x", n),
        "size": np.repeat("large", n),
        "some": np.array(["", "a", "b", None] * 20, dtype=object),
    }
    a, b = (probe(noisy(k), name, attributes=columns) for k, name in enumerate(("p", "p@8")))
    b = replace(b, attributes=columns | {"size": np.repeat("small", n)})
    found = encoding.compute((a, b), QUICK)
    assert found.attributes == (PROBE, "some")
    assert "size (not the same in every probe)" in found.left_out
    assert "all (1 values among the people judged, not 2 to 20)" in found.left_out
    assert "age (40 values" in found.left_out


def test_a_column_called_as_the_probe_is_kept_apart():
    columns = {"probe": np.tile(["a", "b"], 40)}
    sets = [probe(noisy(k), name, attributes=columns) for k, name in enumerate(("p", "p@8"))]
    assert encoding.compute(sets, QUICK).attributes == (PROBE, "probe (column)")


def test_one_probe_is_enough_where_there_is_an_attribute():
    vectors, group = on_axes()
    found = encoding.compute((probe(vectors, attributes={"glasses": group}),), QUICK)
    assert found.attributes == ("glasses",)
    with pytest.raises(UserError, match="there is nothing to explain components by: name a second probe"):
        encoding.compute((probe(vectors),), QUICK)


def test_the_charts_of_two_models_have_colours_of_one_span():
    vectors, _ = on_axes()
    results = []
    for model, gap in (("a", 4), ("b", 0.5)):
        blurred = vectors.copy()
        blurred[:, 3] += gap
        results.append(
            encoding.compute((probe(vectors, model=model), probe(blurred, "p@8", model=model)), QUICK)
        )
    first, second = encoding.charts(results)
    assert first.span == second.span == (0.0, results[0].eta.max())


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="only 3 are in every probe: give images of at least 4"):
        encoding.compute((embedding_set(3), embedding_set(3, probe="q")), QUICK)


def test_equal_vectors_everywhere_are_refused():
    with pytest.raises(UserError, match="all images have one vector under every probe"):
        encoding.compute((probe(np.ones((20, 3))), probe(np.ones((20, 3)), "q")), QUICK)
