"""Few rows of many numbers: the same figures within their span, and no decomposition larger than that."""

from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.linalg

from embedlab.analyses import components as scree
from embedlab.analyses import displacement as displaced
from embedlab.analyses import encoding, geometry, mapping, projection, registration, separability, similarity
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.likeness import moments
from embedlab.maths.likeness.similarity import PWCCA
from embedlab.maths.linear import procrustes, span
from embedlab.maths.linear.span import basis_of, within_span
from embedlab.maths.space import components, displacement, readout
from embedlab.maths.space.components import RatioAcross, principal
from tests.spaces import measured

PEOPLE, IMAGES, WIDE = 24, 2, 500
ROWS = PEOPLE * IMAGES
OWNERS = np.repeat(np.arange(PEOPLE), IMAGES)


def cloud(seed=0, latent=5, dimension=120, noise=0.05, rows=None):
    """People in a few wide directions, and a little noise in all of them."""
    rng = np.random.default_rng([seed, latent])
    centres = np.random.default_rng(latent).normal(size=(PEOPLE, latent))[OWNERS]
    spread = (centres + 0.3 * rng.normal(size=centres.shape)) @ rng.normal(size=(latent, dimension))
    return (spread + noise * rng.normal(size=spread.shape))[:rows]


@pytest.fixture
def natively(monkeypatch):
    """Compute something on the rows' own axes, however many these are."""

    def done(what):
        with monkeypatch.context() as patched:
            for module in (span, components, moments, procrustes):
                patched.setattr(module, "basis_of", lambda *clouds: None)
            return what()

    return done


def test_axes_are_orthonormal_and_hold_all_rows():
    a, b = cloud(0), cloud(1, rows=30)
    basis = basis_of(a, b)
    assert basis.shape == (120, len(a) + len(b))
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    for x, inside in zip((a, b), within_span(a, b), strict=True):
        np.testing.assert_allclose(inside @ basis.T, x, atol=1e-11)
    np.testing.assert_allclose(within_span(a, b)[0] @ within_span(a, b)[1].T, a @ b.T, atol=1e-10)


def test_many_rows_stay_what_they_are():
    a = cloud(dimension=20)
    assert basis_of(a) is None
    assert within_span(a)[0] is a


def test_rows_that_repeat_are_no_matter():
    a = np.repeat(cloud(rows=3), 2, axis=0)
    inside = within_span(a)[0]
    np.testing.assert_allclose(inside @ inside.T, a @ a.T, atol=1e-10)


def test_measures_of_similarity_are_the_same(natively):
    x, y = cloud(0), cloud(1, dimension=150)
    here = measured(x, y, OWNERS, batch=20)
    there = natively(lambda: measured(x, y, OWNERS, batch=20))
    assert PWCCA in here
    for name, one in here.items():
        other = there[name]
        np.testing.assert_allclose(one.value, other.value, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(one.influence, other.influence, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(one.nulls, other.nulls, atol=2e-6, err_msg=name)
        np.testing.assert_allclose(one.in_sample, other.in_sample, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("scale", [True, False])
def test_procrustes_turns_alike_and_leaves_the_rest_alone(natively, scale):
    a, b = cloud(0, rows=20), cloud(1, rows=20)
    here = procrustes.fit(a, b, scale=scale)
    there = natively(lambda: procrustes.fit(a, b, scale=scale))
    np.testing.assert_allclose(here.rotation, there.rotation, atol=1e-8)
    np.testing.assert_allclose(here.rotation @ here.rotation.T, np.eye(120), atol=1e-10)
    np.testing.assert_allclose(here.scale, there.scale, rtol=1e-10)
    np.testing.assert_allclose(here.shift, there.shift, atol=1e-8)


def test_components_and_what_they_explain_are_the_same(natively):
    x = cloud(noise=0.3)
    fitted, judged = x[::2], x[1::2]
    owners = np.arange(len(judged))
    here, there = principal(fitted, x), natively(lambda: principal(fitted, x))
    known = len(fitted) - 1
    np.testing.assert_allclose(here.variances[:known], there.variances[:known], rtol=1e-8)
    np.testing.assert_allclose(here.project(x, known), there.project(x, known), atol=1e-7)
    squares = [one.squares(judged, owners, len(judged)) for one in (here, there)]
    np.testing.assert_allclose(squares[0].sum(axis=1), squares[1].sum(axis=1))
    ratios = [RatioAcross.of(fitted, owners, judged, owners, here.mean).value]
    ratios.append(natively(lambda: RatioAcross.of(fitted, owners, judged, owners, here.mean).value))
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-9)
    assert ratios[0] > 1


def test_a_classifier_reads_the_same(natively):
    versions = np.stack([cloud(0), cloud(0) + 0.1 * cloud(3)])
    fold, signs = np.arange(PEOPLE) % 3, np.random.default_rng(0).choice([-1.0, 1.0], size=(4, PEOPLE))
    here = readout.held_out(versions, OWNERS, fold, signs, refits=2)
    there = natively(lambda: readout.held_out(versions, OWNERS, fold, signs, refits=2))
    for one in fields(readout.Readout):
        np.testing.assert_allclose(getattr(here, one.name), getattr(there, one.name), atol=1e-6)


def test_displacements_are_the_same_within_the_span_of_both(natively):
    a, b = cloud(0, rows=40), cloud(1, rows=40)
    fold = np.arange(40) % 4
    here = displacement.moved(a, b, np.arange(40), fold)
    there = natively(lambda: displacement.moved(a, b, np.arange(40), fold))
    for one in fields(displacement.Moved):
        np.testing.assert_allclose(getattr(here, one.name), getattr(there, one.name), rtol=1e-7, atol=1e-9)


# No analysis decomposes what is larger than its rows -------------------------------------------------


def probe(model, name, seed):
    items = [f"{person:03d}/{k}" for k, person in enumerate(OWNERS)]
    return EmbeddingSet.from_rows(
        model, name, cloud(seed, dimension=WIDE), items, [item.split("/")[0] for item in items]
    )


RUNS = {
    similarity: lambda a, degraded, b, p: similarity.compute([a, b], replace(p, shuffles=2, refits=2)),
    mapping: lambda a, degraded, b, p: [mapping.compute(a, other, p) for other in (degraded, b)],
    geometry: lambda a, degraded, b, p: geometry.compute([a, degraded], p),
    separability: lambda a, degraded, b, p: separability.compute(
        [a, degraded], replace(p, permutations=9, folds=2)
    ),
    displaced: lambda a, degraded, b, p: displaced.compute([a, degraded], p),
    encoding: lambda a, degraded, b, p: encoding.compute([a, degraded], replace(p, permutations=9)),
    scree: lambda a, degraded, b, p: scree.compute([a, degraded], p),
    projection: lambda a, degraded, b, p: projection.compute([a, degraded], p),
    registration: lambda a, degraded, b, p: [
        registration.compute(a, other, replace(p, nulls=1)) for other in (degraded, b)
    ],
}


@pytest.mark.filterwarnings("ignore:.*TBB.*")
@pytest.mark.parametrize("module", RUNS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_no_analysis_decomposes_a_matrix_of_all_dimensions(module, monkeypatch):
    sizes = []

    def watched(decompose):
        def watching(matrix, *args, **named):
            sizes.append(min(np.shape(matrix)[-2:]))
            return decompose(matrix, *args, **named)

        return watching

    for name in ("eigh", "eigvalsh", "svd", "qr", "solve", "pinv", "slogdet", "inv"):
        monkeypatch.setattr(np.linalg, name, watched(getattr(np.linalg, name)))
    monkeypatch.setattr(scipy.linalg, "svd", watched(scipy.linalg.svd))
    if module is projection:
        # Pictures are laid out in the rows' own number, whatever their dimension.
        for name in ("tsne", "umap"):
            monkeypatch.setattr(
                projection.maps,
                name,
                lambda around, _, seed, axes=2: cloud(seed, dimension=axes)[: len(around.vectors)],
            )
    params = replace(module.ANALYSIS.params, resamples=20)
    RUNS[module](probe("m", "p", 0), probe("m", "p@32", 1), probe("other", "p", 2), params)
    # Both sets' rows and a mean, and not one of their 500 dimensions more.
    assert max(sizes, default=0) <= 2 * ROWS + 1
    assert sizes or module is geometry
