"""Steps share the cores by threads of their own, which those of numpy's products do not keep awake."""

import threading

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (the second library, which steps of a low rank load)
import threadpoolctl
from threadpoolctl import threadpool_info, threadpool_limits

from embedlab.maths.clouds import _pycpd_em, cpd, cpd_deformable, cpd_pycpd
from embedlab.maths.clouds.cpd import Settings
from embedlab.maths.products import unthreaded

FEW = Settings(iterations=3, search=False)


def _threads():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture
def seen(monkeypatch):
    """How many threads numpy multiplied with at each expectation step."""
    found = []
    for module in (cpd, cpd_deformable, _pycpd_em):
        monkeypatch.setattr(
            module,
            "expectation",
            lambda *a, e=module.expectation, **k: found.append(_threads()) or e(*a, **k),
        )
    with threadpool_limits(2, "blas"):
        yield found
        assert _threads() == {2}, "as before"


def ways():
    """Name registrations of 2 clouds, and the threads that their products may take."""
    old = {"max_iterations": 3, "tolerance": 0.0}
    yield "rigid", {1}, lambda x, y: cpd.rigid(x, y, settings=FEW, callback=lambda *_: None)
    yield "affine", {1}, lambda x, y: cpd.affine(x, y, settings=FEW, callback=lambda *_: None)
    yield "low rank", {1}, lambda x, y: cpd_deformable.deformable(x, y, rank=5, settings=FEW)
    yield "whole kernel", {2}, lambda x, y: cpd_deformable.deformable(x, y, settings=FEW)
    for name in ("Rigid", "Affine"):
        kind = getattr(cpd_pycpd, f"{name}Registration")
        yield f"pycpd, {name}", {1}, lambda x, y, kind=kind: kind(X=x, Y=y, **old).register()
    drifting = cpd_pycpd.DeformableRegistration
    yield "pycpd, low rank", {1}, lambda x, y: drifting(X=x, Y=y, low_rank=True, num_eig=5, **old).register()
    yield "pycpd, whole kernel", {2}, lambda x, y: drifting(X=x, Y=y, **old).register()


@pytest.mark.parametrize(
    ("threads", "register"), [way[1:] for way in ways()], ids=[name for name, *_ in ways()]
)
def test_products_of_a_step_stay_on_one_thread_where_they_are_small(threads, register, seen):
    draws = np.random.default_rng(0)
    register(draws.normal(size=(40, 3)), draws.normal(size=(30, 3)))
    assert len(seen) >= 2
    assert all(one == threads for one in seen)


def _given_up():
    """Let any thread set the number, which otherwise only the one that did so last may."""
    control = getattr(threadpoolctl, "OpenBLASController", None)
    getattr(control, "clear_controlling_thread", lambda **_: None)(force=True)


@pytest.mark.parametrize("last", ["first in", "last in"])
def test_after_several_threads_at_once_products_have_their_threads_again(last):
    """The one that set the limit may leave before another that came in meanwhile."""
    both, gone, seen = threading.Barrier(2), threading.Event(), []

    def work(first):
        if not first:
            both.wait(10)
        with unthreaded():
            if first:
                both.wait(10)
            both.wait(10)
            if first == (last == "first in"):
                gone.wait(10)
                seen.append(_threads())
        gone.set()
        # While a thread that set a limit lives, newer versions let no other lift it.
        both.wait(10)

    before = threadpool_limits(2, "blas")
    _given_up()
    try:
        threads = [threading.Thread(target=work, args=(first,)) for first in (True, False)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(20)
        assert seen == [{1}], "one was still within"
        assert _threads() == {2}
    finally:
        _given_up()
        before.restore_original_limits()
