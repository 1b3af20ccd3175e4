import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import norm

from embedlab.analyses import distances
from embedlab.analyses.distances import ANALYSIS, DistanceParams
from embedlab.analysis import Estimate
from embedlab.charts import Bars, Faces, Histogram, Table, faces_from
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from tests.planted import embedding_set

FEW = DistanceParams(resamples=200)


def changed(**values):
    return FEW.with_overrides(values)


def renamed(a, rows, vectors):
    """The same set with other vectors in some rows."""
    moved = a.vectors.copy()
    moved[rows] = vectors
    people = np.asarray(a.identities)[a.labels].tolist()
    return EmbeddingSet.from_rows(a.model, a.probe, moved, a.items.tolist(), people)


def columns(table, *names):
    return [tuple(row[table.columns.index(name)] for name in names) for row in table.rows]


def titled(found, start):
    (chart,) = [c for c in distances.charts([found]) if c.title.startswith(start)]
    return chart


def test_means_and_d_prime_are_those_of_the_written_out_pairs():
    a = embedding_set(people=25, images=4)
    found = distances.compute((a,), FEW)
    apart = cdist(a.vectors.astype(float), a.vectors.astype(float), "cosine")
    same = a.labels[:, None] == a.labels
    upper = np.triu(np.ones_like(same), 1)
    intra, inter = apart[same & upper], apart[~same & upper]
    d_prime = (inter.mean() - intra.mean()) / np.sqrt((intra.var() + inter.var()) / 2)
    assert found.intra_mean["mean intra distance, p"].value == pytest.approx(intra.mean(), abs=1e-5)
    assert found.inter_mean["mean inter distance, p"].value == pytest.approx(inter.mean(), abs=1e-5)
    assert found.d_prime["d′, p"].value == pytest.approx(d_prime, rel=1e-3)
    assert found.intra.sum() == len(intra)
    assert found.inter.sum() == len(inter)


def test_a_planted_d_prime_is_found():
    """Scores in high dimension are nearly Gaussian: cos of N(c, σ²I) pairs has a known mean."""
    a = embedding_set(people=300, images=3, dimension=256, noise=1.0)
    found = distances.compute((a,), FEW)
    # Unit vectors of one person share half their squared length: mean similarity one half.
    assert 1 - found.intra_mean["mean intra distance, p"].value == pytest.approx(0.5, abs=0.01)
    assert 1 - found.inter_mean["mean inter distance, p"].value == pytest.approx(0.0, abs=0.01)
    d = found.d_prime["d′, p"]
    assert d.low < d.value < d.high
    assert found.overlap["overlap, p"].value == pytest.approx(2 * norm.cdf(-d.value / 2), abs=0.01)


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
    d = found.d_prime["d′, p"]
    assert d.null == 0.0
    assert d.low < 0.1
    assert d.high > -0.1
    intra = found.intra_mean["mean intra distance, p"]
    assert intra.value == pytest.approx(intra.null, abs=0.03)
    assert found.overlap["overlap, p"].value > 0.85


def test_probes_are_joined_by_name_not_by_row():
    a, b = embedding_set(), embedding_set(probe="p@32")
    found = distances.compute((a, b.take(np.random.default_rng(0).permutation(len(b.items)))), FEW)
    assert found.conditions == ("p", "p@32", "p × p@32")
    # Both probes hold the same vectors, so an image lies on itself.
    same = found.same_image_mean["mean same-image distance, p × p@32"]
    assert same.value == pytest.approx(0, abs=1e-6)
    assert found.same_image_excess["same-image less intra distance, p × p@32"].high < 0
    assert found.same_image[2].sum() == len(a.items)
    assert not found.same_image[:2].any()


def test_a_probe_that_moves_every_image_is_called_out():
    a = embedding_set(noise=0.2)
    b = EmbeddingSet.from_rows(
        "m", "p@32", a.vectors + 3.0, a.items.tolist(), np.asarray(a.identities)[a.labels].tolist()
    )
    found = distances.compute((a, b), FEW)
    texts = [f.text for f in distances.findings([found])]
    assert any("further than two images of one person on p by" in t for t in texts)


def test_items_in_one_probe_only_are_counted():
    a = embedding_set()
    found = distances.compute((a, embedding_set(probe="p@32").take(range(60))), FEW)
    assert found.dropped == 30


def test_two_models_are_compared_on_the_same_resamples():
    good = distances.compute((embedding_set(noise=0.6, model="good"),), FEW)
    worse = distances.compute((embedding_set(noise=0.7, model="worse"),), FEW)
    text = distances.findings([worse, good])[0].text
    assert text.startswith("On p, intra and inter distances lie d′ =")
    assert "apart in good" in text
    assert "a difference of" in text
    apart = good.d_prime_replicates[:, 0] - worse.d_prime_replicates[:, 0]
    unpaired = np.hypot(good.d_prime_replicates.std(), worse.d_prime_replicates.std())
    assert apart.std() < unpaired


def test_equal_models_are_not_called_different():
    same = [distances.compute((embedding_set(model=m),), FEW) for m in "ab"]
    assert "may be chance" in distances.findings(same)[0].text


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
    with pytest.raises(UserError, match="all pairs of images at one distance"):
        distances.compute((a,), FEW)


def offset():
    """People who are told apart well, all far from the origin in one direction."""
    near = embedding_set(12, 3)
    return dataclasses.replace(near, vectors=near.vectors + np.float32(3000))


def test_scores_too_close_for_their_bins_are_a_reason_and_no_figures():
    match = "has all scores within 3e-05 of one another, too close for their resolution: subtract the mean"
    with pytest.raises(UserError, match=match):
        distances.compute((offset(),), FEW)


def test_bins_must_divide_the_fine_ones():
    with pytest.raises(UserError, match="distances.bins must be a power of two"):
        distances.compute((embedding_set(),), ANALYSIS.params.with_overrides({"bins": 100}))


def test_probes_of_other_people_are_not_held_against_each_other():
    """Without an interval there is no saying which of two distances is larger."""
    a = embedding_set(people=30)
    found = distances.compute((a, embedding_set(people=30, probe="p@32", seed=3).take(range(60))), FEW)
    assert found.same_image_excess["same-image less intra distance, p × p@32"].low is None
    (text,) = [f.text for f in distances.findings([found]) if "one image under both" in f.text]
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
    d = found.measures[f"d′, {measure}, p"]
    assert d.value == pytest.approx(d_prime, rel=1e-3)
    assert d.low < d.value < d.high
    if measure == "Euclidean, raw":
        bins = np.linspace(0, found.raw_reach[0], 65)
        shares = [np.histogram(x, bins)[0] / len(x) for x in (intra, inter)]
        overlap = found.measures[f"overlap, {measure}, p"]
        assert overlap.value == pytest.approx(np.minimum(*shares).sum(), abs=2e-3)
        np.testing.assert_allclose(found.raw_intra[0], np.histogram(intra, bins)[0], atol=1)


def test_pictures_of_all_measures_stand_where_the_distances_are():
    a = embedding_set()
    drawn = distances.charts([distances.compute((a,), changed(pictures="all measures"))])
    cosine, normalised, raw = [c for c in drawn if isinstance(c, Histogram)]
    for chart, expected in (
        (cosine, pdist(a.vectors, "cosine")),
        (normalised, pdist(a.unit)),
        (raw, pdist(a.vectors)),
    ):
        counts = sum(chart.series.values())
        np.testing.assert_allclose(counts, np.histogram(expected, chart.edges)[0], atol=2)
    assert "normalised" in normalised.xlabel
    assert "raw" in raw.xlabel


def test_quantiles_are_those_of_numpy():
    a = embedding_set(people=40, images=4)
    found = distances.compute((a,), FEW)
    apart = cdist(a.vectors.astype(float), a.vectors.astype(float), "cosine")
    same, upper = a.labels[:, None] == a.labels, np.triu(np.ones_like(apart, bool), 1)
    table = titled(found, "Cosine distances in m")
    for row, kind in zip(table.rows, (same, ~same), strict=True):
        expected = np.quantile(apart[kind & upper], (0.05, 0.25, 0.5, 0.75, 0.95))
        np.testing.assert_allclose([e.value for e in row[3:]], expected, atol=1e-4)
        assert all(e.low <= e.value <= e.high for e in row[3:])
    assert found.quantiles["intra 5%, p"].null == found.quantiles["inter 5%, p"].value


def test_identity_means_are_the_blocks_written_out_and_inflate_d_prime():
    a, b = embedding_set(people=25, images=4), embedding_set(people=25, images=4, probe="p@32", seed=4)
    found = distances.compute((a, b), changed(pairs="identity means"))
    for k, other in ((0, a), (2, b)):
        apart = cdist(a.vectors.astype(float), other.vectors.astype(float), "cosine")
        blocks = apart.reshape(25, 4, 25, 4).mean(axis=(1, 3))
        intra, inter = np.diag(blocks), blocks[~np.eye(25, dtype=bool)]
        d_prime = (inter.mean() - intra.mean()) / np.sqrt((intra.var() + inter.var()) / 2)
        name = found.conditions[k]
        assert found.intra_mean[f"mean intra distance, {name}"].value == pytest.approx(intra.mean(), abs=1e-5)
        assert found.d_prime[f"d′, {name}"].value == pytest.approx(d_prime, rel=1e-3)
        assert found.intra[k].sum() == 25
    same = found.same_image_mean["mean same-image distance, p × p@32"].value
    assert same == pytest.approx(np.diag(apart).mean(), abs=1e-5)
    images = distances.compute((a, b), FEW)
    assert found.d_prime["d′, p"].value > 1.2 * images.d_prime["d′, p"].value
    assert found.negative_margin == images.negative_margin
    assert not found.measures
    assert not any(c.title == "d′ and overlap by measure" for c in distances.charts([found]))
    assert "means over all images of two people" in distances.findings([found])[-1].text


def test_one_photograph_under_two_names_is_found_and_named():
    a = embedding_set(people=40)
    twin = renamed(a, 50, a.vectors[7] * 1.5)
    found = distances.compute((twin,), FEW)
    (pair,) = columns(titled(found, "Worst pairs on p"), "item", "other item", "similarity")[:1]
    assert pair[:2] == ("item0007", "item0050")
    assert pair[2] == pytest.approx(1)
    other = EmbeddingSet.from_rows(
        "other", "p", twin.vectors, twin.items.tolist(), np.asarray(twin.identities)[twin.labels].tolist()
    )
    texts = [f.text for f in distances.findings([found, distances.compute((other,), FEW)])]
    (text,) = [t for t in texts if "one photograph" in t]
    assert text.endswith("two names: item0007 = item0050 (in m and other).")
    clean = distances.findings([distances.compute((a,), FEW)])
    assert not any("one photograph" in f.text for f in clean)


def test_a_person_with_a_strange_image_is_the_worst_in_every_list():
    a = embedding_set(people=40, noise=0.2)
    odd = renamed(a, 31, a.vectors[90] + 0.1)  # An image of person010 that looks like person030.
    found = distances.compute((odd,), FEW)
    ((who, impostor, margin),) = columns(titled(found, "Smallest margins"), "person", "who is", "margin")[:1]
    assert {who, impostor} == {"person010", "person030"}
    assert margin < -0.3
    least = [row for row in found.worst_pairs if row[1] == "one person"]
    assert "item0031" in least[0][3:5]
    assert [row[5] for row in least].count("person010") == 1
    (text,) = [f.text for f in distances.findings([found]) if "nearer than their own" in f.text]
    assert f"the smallest margin is that of {who}" in text


@pytest.mark.parametrize("across", [False, True])
def test_margins_are_those_of_the_written_out_distances(across):
    a, b = (embedding_set(people=20, images=3, noise=0.9, probe=p, seed=k) for k, p in enumerate(("p", "q")))
    a = a.take(range(58))  # The last person has one image.
    found = distances.compute((a, b), FEW)
    other = b.take(range(58)) if across else a
    apart = cdist(a.vectors.astype(float), other.vectors.astype(float), "cosine")
    same = a.labels[:, None] == a.labels
    own = same & ~np.eye(len(apart), dtype=bool)
    intra = [apart[own & (a.labels == p)].mean() for p in range(19)]
    nearest = [apart[(a.labels == p)][:, a.labels != p].min() for p in range(20)]
    mine = found.person_condition == (2 if across else 0)
    np.testing.assert_allclose(found.person_intra[mine], [*intra, np.nan], atol=1e-6)
    np.testing.assert_allclose(found.person_nearest[mine], nearest, atol=1e-6)
    share = found.negative_margin["people with a negative margin, " + found.conditions[2 if across else 0]]
    assert share.value == pytest.approx(np.mean(np.array(nearest[:19]) < intra))
    assert 0 < share.low < share.value < share.high < 1
    assert share.n == 19
    rows = [row for row in found.worst_people if row[0] == ("p × q" if across else "p")]
    assert [row[5] for row in rows] == sorted(row[5] for row in rows)
    assert "person019" not in [row[1] for row in rows]


def test_labels_that_mean_nothing_give_nearly_everybody_a_negative_margin():
    a = embedding_set(people=60, images=4, noise=1.0)
    names = np.random.default_rng(0).permutation(a.labels).astype(str).tolist()
    shuffled = EmbeddingSet.from_rows("m", "p", a.vectors, a.items.tolist(), names)
    share = distances.compute((shuffled,), FEW).negative_margin["people with a negative margin, p"]
    assert share.value == pytest.approx(share.null, abs=0.05)


def test_people_without_confusion_get_the_rule_of_three():
    share = distances.compute((embedding_set(people=50, noise=0.1),), FEW).negative_margin
    (share,) = share.values()
    assert (share.value, share.low) == (0, 0)
    assert share.high == pytest.approx(3 / 50)


def test_models_are_held_against_each_other_by_their_margins():
    good = distances.compute((embedding_set(people=60, noise=0.9, model="good"),), FEW)
    worse = distances.compute((embedding_set(people=60, noise=1.4, model="worse"),), FEW)
    twin = distances.compute((embedding_set(people=60, noise=0.9, model="twin"),), FEW)
    texts = [f.text for f in distances.findings([worse, good, twin]) if "nearer than their own" in f.text]
    assert [text.split()[3] for text in texts] == ["good,", "twin,", "worse,"]
    assert "; the difference of +0.00 points [+0.00, +0.00] to good may be chance." in texts[1]
    low, high = np.quantile(
        worse.negative_margin_replicates[:, 0] - good.negative_margin_replicates[:, 0], [0.025, 0.975]
    )
    least, worst = (r.negative_margin["people with a negative margin, p"].value for r in (good, worse))
    more = Estimate(worst - least, low, high).points()
    assert f"; a difference of {more} to good." in texts[2]


@pytest.mark.parametrize(
    ("probes", "crossed"), [(3, [(0, 1), (0, 2), (1, 2)]), (4, [(0, 1), (0, 2), (0, 3)])]
)
def test_many_probes_are_held_against_the_first_alone(probes, crossed):
    sets = [embedding_set(people=8, probe=f"p@{k}", seed=k) for k in range(probes)]
    found = distances.compute(sets, changed(resamples=50))
    assert found.conditions == (
        *(f"p@{k}" for k in range(probes)),
        *(f"p@{a} × p@{b}" for a, b in crossed),
    )


def test_the_report_lists_the_first_probe_at_length_and_the_others_in_brief():
    sets = [embedding_set(probe=p, seed=k, noise=1.0) for k, p in enumerate(("p", "p@32"))]
    found = distances.compute(sets, changed(worst=5))
    drawn = distances.charts([found])
    sizes = {c.title: len(c.rows) for c in drawn if isinstance(c, Table)}
    assert sizes["Smallest margins on p in m"] == 5
    assert sizes["Worst pairs on p in m"] == 10
    assert sizes["Smallest margins on other probes and across probes in m"] == 6
    assert sizes["Worst pairs on other probes and across probes in m"] == 12
    (bars,) = [c for c in drawn if isinstance(c, Bars)]
    np.testing.assert_array_equal(bars.series[0].values, [e.value for e in found.d_prime.values()])
    assert not any(isinstance(c, Faces) for c in drawn)


def test_a_model_without_a_condition_has_no_bar_there():
    one = distances.compute((embedding_set(model="a"),), FEW)
    two = distances.compute((embedding_set(model="b"), embedding_set(model="b", probe="p@32")), FEW)
    (bars,) = [c for c in distances.charts([one, two]) if isinstance(c, Bars)]
    assert np.isnan(bars.series[0].values).tolist() == [False, True, True]


def test_faces_of_the_worst_stand_in_pairs_where_pictures_are_at_hand():
    found = distances.compute((embedding_set(),), FEW)
    asked = []

    def lookup(probe, item):
        asked.append((probe, item))
        return np.zeros((4, 4, 3), np.uint8)

    with faces_from(lookup):
        (faces,) = [c for c in distances.charts([found]) if isinstance(c, Faces)]
        faces.plotly()
    (_, alike), (_, unlike), (_, people) = faces.rows
    assert [face.item for face in alike[:2]] == list(found.worst_pairs[0][3:5])
    assert unlike[0].caption.startswith(unlike[1].caption.split(",")[0])
    assert people[0].caption == found.worst_people[0][1]
    assert ("p", people[1].item) in asked


def test_bca_intervals_are_other_ones_round_the_same_numbers():
    a = embedding_set(people=15, noise=1.0)
    plain, corrected = (distances.compute((a,), changed(interval=kind)) for kind in ("percentile", "bca"))
    one, two = plain.d_prime["d′, p"], corrected.d_prime["d′, p"]
    assert one.value == two.value
    assert (one.low, one.high) != (two.low, two.high)
    assert two.low < two.value < two.high
    np.testing.assert_allclose(corrected.d_prime_replicates, plain.d_prime_replicates, rtol=1e-5)


def test_a_list_of_no_worst_is_refused():
    with pytest.raises(UserError, match="distances.worst must be at least 1, not 0"):
        distances.compute((embedding_set(),), changed(worst=0))
