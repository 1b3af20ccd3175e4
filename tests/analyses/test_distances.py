import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm

from embedlab.analyses import distances
from embedlab.analyses.distances import ANALYSIS, DistanceParams
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from tests.planted import embedding_set

FEW = DistanceParams(resamples=200)


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
    assert "measured on different people" in distances.findings([a, b])[0].text


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
