import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import ks_2samp, norm

from embedlab.analyses import distances
from embedlab.analyses.distances import DistanceParams
from embedlab.charts import Bars, Histogram
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import embedding_set, renamed

FEW = DistanceParams(resamples=200)


def changed(**values):
    return FEW.with_overrides(values)


def test_means_and_d_prime_are_those_of_the_written_out_pairs():
    a = embedding_set(people=25, images=4)
    found = distances.compute((a,), FEW)
    apart = cdist(a.vectors.astype(float), a.vectors.astype(float), "cosine")
    same = a.labels[:, None] == a.labels
    upper = np.triu(np.ones_like(same), 1)
    intra, inter = apart[same & upper], apart[~same & upper]
    d_prime = (inter.mean() - intra.mean()) / np.sqrt((intra.var() + inter.var()) / 2)
    assert found.estimates["mean intra distance", "p"].value == pytest.approx(intra.mean(), abs=1e-5)
    assert found.estimates["mean inter distance", "p"].value == pytest.approx(inter.mean(), abs=1e-5)
    assert found.estimates["d′", "p"].value == pytest.approx(d_prime, rel=1e-3)
    assert found.pair_counts.tolist() == [[len(intra), len(inter)]]
    assert found.intra.sum() == pytest.approx(25)
    assert found.inter.sum() == pytest.approx(25 * 24 / 2)


def test_a_planted_d_prime_is_found():
    """Scores in high dimension are nearly Gaussian: cos of N(c, σ²I) pairs has a known mean."""
    a = embedding_set(people=300, images=3, dimension=256, noise=1.0)
    found = distances.compute((a,), FEW)
    # Unit vectors of one person share half their squared length: mean similarity one half.
    assert 1 - found.estimates["mean intra distance", "p"].value == pytest.approx(0.5, abs=0.01)
    assert 1 - found.estimates["mean inter distance", "p"].value == pytest.approx(0.0, abs=0.01)
    d = found.estimates["d′", "p"]
    assert d.low < d.value < d.high
    assert found.estimates["overlap", "p"].value == pytest.approx(2 * norm.cdf(-d.value / 2), abs=0.01)


def test_labels_that_mean_nothing_give_the_nulls():
    a = embedding_set(people=60, images=4, noise=1.0)
    shuffled = EmbeddingSet.from_rows(
        "m",
        "p",
        a.vectors,
        a.items.tolist(),
        np.random.default_rng(0).permutation(a.labels).astype(str).tolist(),
    )
    found = distances.compute((shuffled,), FEW)
    d = found.estimates["d′", "p"]
    assert d.null == 0.0
    assert d.low < 0.1
    assert d.high > -0.1
    intra = found.estimates["mean intra distance", "p"]
    assert intra.value == pytest.approx(intra.null, abs=0.03)
    assert found.estimates["overlap", "p"].value > 0.85


def test_probes_are_joined_by_name_not_by_row():
    a, b = embedding_set(), embedding_set(probe="p@32")
    found = distances.compute((a, b.take(np.random.default_rng(0).permutation(len(b.items)))), FEW)
    assert found.places == (("p",), ("p@32",), ("p", "p@32"))
    # Both probes hold the same vectors, so an image lies on itself.
    same = found.estimates["mean same-image distance", "p", "p@32"]
    assert same.value == pytest.approx(0, abs=1e-6)
    assert found.estimates["same-image over intra distance", "p", "p@32"].high < 0.01
    assert found.same_image[2].sum() == pytest.approx(len(a.identities))
    assert not found.same_image[:2].any()


def test_a_probe_that_moves_every_image_is_called_out():
    a = embedding_set(noise=0.2)
    b = EmbeddingSet.from_rows(
        "m", "p@32", a.vectors + 3.0, a.items.tolist(), np.asarray(a.identities)[a.labels].tolist()
    )
    found = distances.compute((a, b), FEW)
    (said,) = [f for f in distances.findings([found]) if "the same one" in f.text]
    ratio = found.estimates["same-image over intra distance", "p", "p@32"]
    assert said.text == (
        f"In m, an image of p and the same one of p@32 lie {ratio:.0%} as far apart as two images of one "
        "person on p."
    )
    assert ratio.low > 1
    assert said.tone == "bad"


@pytest.mark.parametrize(("moved", "tone"), [(0.02, "good"), (0.5, "plain")])
def test_a_probe_that_hardly_moves_an_image_is_praised_and_one_that_nearly_does_is_not(moved, tone):
    a = embedding_set(noise=0.4, people=60)
    rows = a.vectors + moved * np.random.default_rng(2).normal(size=a.vectors.shape)
    found = distances.compute((a, dataclasses.replace(renamed(a, slice(None), rows), probe="p@32")), FEW)
    (said,) = [f for f in distances.findings([found]) if "the same one" in f.text]
    assert said.tone == tone


def test_items_in_one_probe_only_are_counted():
    a = embedding_set()
    found = distances.compute((a, embedding_set(probe="p@32").take(range(60))), FEW)
    assert found.dropped == 30


def test_two_models_are_compared_on_the_same_resamples():
    good = distances.compute((embedding_set(noise=0.6, model="good"),), FEW)
    worse = distances.compute((embedding_set(noise=0.7, model="worse"),), FEW)
    text = distances.findings([worse, good])[0].text
    assert text.startswith("On p, d′ of distances within and between people is ")
    assert "in good and" in text
    assert "in worse: a difference of" in text
    apart = (one := good.estimates["d′", "p"]).draws - (other := worse.estimates["d′", "p"]).draws
    unpaired = np.hypot(one.draws.std(), other.draws.std())
    assert apart.std() < unpaired


def test_equal_models_are_not_called_different():
    same = [distances.compute((embedding_set(model=m),), FEW) for m in "ab"]
    assert "there is no difference" in distances.findings(same)[0].text


def test_models_of_different_people_get_no_interval_of_the_difference():
    a = distances.compute((embedding_set(),), FEW)
    b = distances.compute((embedding_set(people=20, model="other"),), FEW)
    texts = [f.text for f in distances.findings([a, b])]
    assert "measured on different people" in texts[0]
    assert not any("points" in text for text in texts)


@pytest.mark.parametrize(
    ("people", "images", "message"),
    [(1, 5, "shows one person only \\('person000'\\)"), (5, 1, "no person with two images")],
)
def test_sets_without_both_kinds_of_pairs_are_refused(people, images, message):
    with pytest.raises(UserError, match=message):
        distances.compute((embedding_set(people, images),), FEW)


def test_equal_vectors_everywhere_are_refused():
    a = EmbeddingSet.from_rows("m", "p", np.ones((4, 3)), list("abcd"), list("xxyy"))
    with pytest.raises(UserError, match="all pairs of a kind at one distance"):
        distances.compute((a,), FEW)


@pytest.mark.parametrize(
    ("name", "spread", "within"),
    [("dlib", 3e-2, 1.1), ("narrow", 1e-2, 0.5), ("offset", 2e-4, 1.0), ("outlier", 2e-4, 1.0)],
)
def test_scores_that_lie_close_together_have_the_figures_of_their_ranks(name, spread, within):
    """Networks that put all faces into a narrow cone, to cosines within a millionth; and one odd image."""
    rng = np.random.default_rng(1)
    people, each = 40, 5
    labels = np.repeat(np.arange(people), each)
    rows = rng.normal(size=(people, 32))[labels] + within * rng.normal(size=(people * each, 32))
    rows = np.eye(32)[0] * np.sqrt(32) + spread * rows
    rows[0] *= -1 if name == "outlier" else 1
    a = EmbeddingSet.from_rows("m", "p", rows, [f"i{k}" for k in range(200)], [f"p{k:02}" for k in labels])
    found = distances.compute((a,), FEW)
    unit = a.vectors.astype(float) / np.linalg.norm(a.vectors.astype(float), axis=1, keepdims=True)
    apart, same = pdist(unit, "sqeuclidean") / 2, pdist(labels[:, None]) == 0
    overlapping = found.estimates["overlap", "p"]
    assert overlapping.value == pytest.approx(1 - ks_2samp(apart[same], apart[~same]).statistic, abs=2e-3)
    assert overlapping.low <= overlapping.value <= overlapping.high
    pooled = np.sqrt((apart[same].var() + apart[~same].var()) / 2)
    expected = (apart[~same].mean() - apart[same].mean()) / pooled
    assert found.estimates["d′", "p"].value == pytest.approx(expected, rel=2e-3, abs=1e-3)
    assert np.isfinite(found.edges).all()


def test_people_weigh_the_same_unless_pairs_are_to():
    """One person of 30 unlike images beside 39 of three alike ones: which d′ it is hangs on what weighs."""
    a = embedding_set(people=40, images=30, noise=0.3)
    rows = np.flatnonzero((a.labels == 0) | (np.arange(len(a.items)) % 30 < 3))
    moved = a.vectors + (a.labels == 0)[:, None] * np.random.default_rng(5).normal(size=a.vectors.shape)
    a = renamed(a, slice(None), moved).take(rows)
    people, pairs = (distances.compute((a,), changed(weigh=weigh)) for weigh in ("people", "pairs"))
    assert people.estimates["d′", "p"].n == 40
    assert pairs.estimates["effective number of people", "p"].value == pytest.approx(552**2 / (435**2 + 351))
    one, other = people.estimates["d′", "p"], pairs.estimates["d′", "p"]
    assert people.estimates["d′, each pair weighing the same", "p"].value == pytest.approx(
        other.value, rel=1e-3
    )
    assert pairs.estimates["d′, each person weighing the same", "p"].value == pytest.approx(
        one.value, rel=1e-3
    )
    assert one.value > other.value
    said = [f.text for f in distances.findings([people])]
    text = f"On p in m, d′ is {one:.2f} where each person weighs the same and {other.value:.2f} where each"
    assert f"{text} pair does (person000 has 79% of them)." in said
    assert "Only 40 people on p have two images, so its figures are rough." in said
    said = [f.text for f in distances.findings([pairs])]
    assert (
        "Genuine pairs on p tell no more than 2 people with equally many would; most are of person000 "
        "(79% of them)." in said
    )


def test_people_with_equal_numbers_of_images_have_one_d_prime():
    found = distances.compute((embedding_set(people=60),), FEW)
    assert not found.estimates.places("d′, each pair weighing the same")
    assert len(distances.findings([found])) == 1


def test_probes_of_other_people_are_not_held_against_each_other():
    """Without an interval there is no saying which of two distances is larger."""
    a = embedding_set(people=30)
    found = distances.compute((a, embedding_set(people=30, probe="p@32", seed=3).take(range(60))), FEW)
    assert found.estimates["same-image over intra distance", "p", "p@32"].low is None
    (text,) = [f.text for f in distances.findings([found]) if "the same one" in f.text]
    assert "about as far" not in text
    assert "p alone shows other people" in text


@pytest.mark.parametrize("measure", ["Euclidean, raw", "Euclidean, normalised"])
def test_euclidean_d_prime_and_overlap_are_those_of_scipy(measure):
    a = embedding_set(people=30, images=4)
    lengths = np.random.default_rng(0).uniform(5, 15, size=(len(a.items), 1)).astype(np.float32)
    a = renamed(a, slice(None), a.unit * lengths)
    found = distances.compute((a,), FEW)
    apart = squareform(pdist(a.vectors if measure == "Euclidean, raw" else a.unit))
    same, upper = a.labels[:, None] == a.labels, np.triu(np.ones_like(apart, bool), 1)
    intra, inter = apart[same & upper], apart[~same & upper]
    d_prime = (inter.mean() - intra.mean()) / np.sqrt((intra.var() + inter.var()) / 2)
    d = found.estimates[f"d′, {measure}", "p"]
    assert d.value == pytest.approx(d_prime, rel=1e-3)
    assert d.low < d.value < d.high
    if measure == "Euclidean, raw":
        overlap = found.estimates[f"overlap, {measure}", "p"]
        assert overlap.value == pytest.approx(1 - ks_2samp(intra, inter).statistic, abs=2e-3)


def test_pictures_span_the_distances():
    a = embedding_set()
    (chart,) = [c for c in distances.charts([distances.compute((a,), FEW)]) if isinstance(c, Histogram)]
    apart, same = pdist(a.vectors, "cosine"), pdist(a.labels[:, None]) == 0
    assert chart.edges[[0, -1]] == pytest.approx([apart.min(), apart.max()], abs=1e-4)
    counts = {
        name: np.histogram(apart[kind], chart.edges)[0] for name, kind in (("intra", same), ("inter", ~same))
    }
    for name, series in chart.series.items():
        expected = counts[name[:5]]
        np.testing.assert_allclose(series / series.sum(), expected / expected.sum(), atol=0.01)


def test_identity_means_are_the_blocks_written_out_and_inflate_d_prime():
    a, b = embedding_set(people=25, images=4), embedding_set(people=25, images=4, probe="p@32", seed=4)
    found = distances.compute((a, b), changed(pairs="identity means"))
    for k, other in ((0, a), (2, b)):
        apart = cdist(a.vectors.astype(float), other.vectors.astype(float), "cosine")
        blocks = apart.reshape(25, 4, 25, 4).mean(axis=(1, 3))
        intra, inter = np.diag(blocks), blocks[~np.eye(25, dtype=bool)]
        d_prime = (inter.mean() - intra.mean()) / np.sqrt((intra.var() + inter.var()) / 2)
        place = found.places[k]
        assert found.estimates["mean intra distance", *place].value == pytest.approx(intra.mean(), abs=1e-5)
        assert found.estimates["d′", *place].value == pytest.approx(d_prime, rel=1e-3)
        assert found.intra[k].sum() == 25
    same = found.estimates["mean same-image distance", "p", "p@32"].value
    assert same == pytest.approx(np.diag(apart).mean(), abs=1e-5)
    images = distances.compute((a, b), FEW)
    assert found.estimates["d′", "p"].value > 1.2 * images.estimates["d′", "p"].value
    assert not found.estimates.places("d′, Euclidean, raw")
    assert "of means over images" in distances.findings([found])[-1].text


@pytest.mark.parametrize(
    ("probes", "crossed"), [(3, [(0, 1), (0, 2), (1, 2)]), (4, [(0, 1), (0, 2), (0, 3)])]
)
def test_many_probes_are_held_against_the_first_alone(probes, crossed):
    sets = [embedding_set(people=8, probe=f"p@{k}", seed=k) for k in range(probes)]
    found = distances.compute(sets, changed(resamples=50))
    assert found.places == (
        *((f"p@{k}",) for k in range(probes)),
        *((f"p@{a}", f"p@{b}") for a, b in crossed),
    )


def test_each_place_has_its_bar_of_d_prime():
    sets = [embedding_set(probe=p, seed=k, noise=1.0) for k, p in enumerate(("p", "p@32"))]
    found = distances.compute(sets, FEW)
    (bars,) = [c for c in distances.charts([found]) if isinstance(c, Bars)]
    assert bars.categories == ("p", "p@32", "p × p@32")
    values = [found.estimates["d′", *place].value for place in found.places]
    np.testing.assert_array_equal(bars.series[0].values, values)


def test_a_model_without_a_condition_has_no_bar_there():
    one = distances.compute((embedding_set(model="a"),), FEW)
    two = distances.compute((embedding_set(model="b"), embedding_set(model="b", probe="p@32")), FEW)
    (bars,) = [c for c in distances.charts([one, two]) if isinstance(c, Bars)]
    assert np.isnan(bars.series[0].values).tolist() == [False, True, True]


def test_bca_intervals_are_other_ones_round_the_same_numbers():
    a = embedding_set(people=15, noise=1.0)
    plain, corrected = (distances.compute((a,), changed(interval=kind)) for kind in ("percentile", "bca"))
    one, two = plain.estimates["d′", "p"], corrected.estimates["d′", "p"]
    assert one.value == two.value
    assert (one.low, one.high) != (two.low, two.high)
    assert two.low < two.value < two.high
    np.testing.assert_allclose(two.draws, one.draws, rtol=1e-5)
