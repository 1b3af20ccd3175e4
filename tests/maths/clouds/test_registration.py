import sys
import warnings
from dataclasses import fields

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.maths.clouds import registration
from embedlab.maths.clouds.cpd import Registration, Settings, affine, rigid
from embedlab.maths.clouds.cpd_deformable import deformable
from embedlab.maths.clouds.registration import register
from tests.clouds import bent, bunny, turned


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def clouds(rng):
    y = bunny(150, rng)
    return turned(y, 15) * 1.3 + 0.4 + rng.normal(scale=0.02, size=y.shape), y


def test_each_kind_is_the_engine_of_its_name(clouds):
    x, y = clouds
    for kind, whole in (
        ("rigid", rigid(x, y, scale=False)),
        ("similarity", rigid(x, y)),
        ("affine", affine(x, y)),
        ("deformable", deformable(x, y, alpha=3.0, beta=1.5, rank=20)),
    ):
        found = register(x, y, kind, alpha=3.0, beta=1.5, rank=20)
        assert found.kind == kind
        np.testing.assert_array_equal(found.moved, whole.moved)
        np.testing.assert_allclose(found.transform(y), found.moved, atol=1e-4)
    assert register(x, y, "rigid").scale == pytest.approx(1)
    assert register(x, y, "similarity").scale == pytest.approx(1.3, rel=0.01)


@pytest.fixture
def pycpd():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return pytest.importorskip("pycpd")


@pytest.mark.parametrize(
    ("kind", "name"), [("similarity", "Rigid"), ("affine", "Affine"), ("deformable", "Deformable")]
)
def test_pycpd_itself_can_be_let_fit(kind, name, clouds, pycpd):
    x, y = clouds
    settings = Settings(standardise=False, iterations=60)
    made = getattr(pycpd, f"{name}Registration")(X=x, Y=y, w=0.1, max_iterations=60)
    moved, _ = made.register()
    seen = []
    found = register(x, y, kind, engine="pycpd", settings=settings, callback=lambda *step: seen.append(step))
    np.testing.assert_array_equal(found.moved, moved)
    np.testing.assert_allclose(found.transform(y), moved, atol=1e-9)
    assert (found.kind, found.iterations, found.sigma2) == (kind, made.iteration, made.sigma2)
    assert found.converged == (made.diff <= 0.001)
    assert len(found.trace_sigma2) == len(found.trace_loglik) == len(seen) == made.iteration
    assert found.trace_loglik[-1] > found.trace_loglik[0]
    assert seen[-1][0] == made.iteration
    np.testing.assert_array_equal(seen[-1][1], moved)


@pytest.mark.parametrize("kind", ["similarity", "affine", "deformable"])
def test_both_engines_agree_where_both_find_it_and_in_any_unit(kind, clouds, pycpd):
    x, y = clouds[0] * 1e3, clouds[1] * 1e3 - 5e4
    settings = Settings(outliers=0.1, iterations=300)
    theirs = register(x, y, kind, engine="pycpd", settings=settings)
    np.testing.assert_allclose(theirs.transform(y), theirs.moved, rtol=1e-6)
    own = register(x, y, kind, settings=settings)
    assert np.sqrt(((own.moved - theirs.moved) ** 2).mean()) < 0.05 * x.std()
    if kind == "similarity":
        assert theirs.scale == pytest.approx(own.scale, rel=0.01)
        np.testing.assert_allclose(theirs.rotation, own.rotation, atol=0.01)
    assert {f.name for f in fields(Registration)} <= {f.name for f in fields(theirs)}


def test_pycpds_variance_start_and_limit_are_ours_to_set(clouds, pycpd):
    found = register(*clouds, "similarity", engine="pycpd", settings=Settings(iterations=2, sigma2=0.01))
    assert found.iterations == 2
    assert not found.converged
    assert "limit" in found.reason
    wide = register(*clouds, "similarity", engine="pycpd", settings=Settings(iterations=2))
    assert found.trace_sigma2[0] < 0.5 * wide.trace_sigma2[0]


def test_what_pycpd_cannot_do_is_told(clouds, rng, monkeypatch):
    x, y = clouds
    deep = rng.normal(size=(30, 5))
    for kind, a, b, rank, said in (
        ("rigid", x, y, None, "always fits a scale"),
        ("similarity", deep, deep, None, "2 or 3 dimensions, not 5"),
        ("deformable", x, y, 10, "no low rank"),
    ):
        with pytest.raises(UserError, match=said):
            register(a, b, kind, engine="pycpd", rank=rank)
    monkeypatch.setattr(registration, "PYCPD_BYTES", 1e6)
    with pytest.raises(UserError, match="150 and 150 points: give fewer"):
        register(x, y, "affine", engine="pycpd")


def test_pycpd_missing_is_told(clouds, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycpd", None)
    with pytest.raises(UserError, match="pip install pycpd"):
        register(*clouds, "affine", engine="pycpd")


def test_pycpd_giving_up_is_told(rng, pycpd):
    """A flat cloud makes its affine system singular."""
    flat = np.column_stack([rng.normal(size=(30, 2)), np.zeros(30)])
    with pytest.raises(UserError, match="pycpd gave up after 0 iterations .*Singular.*embedlab"):
        register(bent(rng.normal(size=(30, 3))), flat, "affine", engine="pycpd")
