from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ortho_group

from embedlab.analyses import displacement
from embedlab.analyses.displacement import (
    BACK,
    FOLLOWS,
    MAPS,
    SCALED,
    SHIFT,
    SPREAD,
    TURN,
    TURNED,
    WHOLE,
    DisplacementParams,
)
from embedlab.errors import UserError
from tests.planted import embedding_set
from tests.versions import noisy, probe, sphere

QUICK = DisplacementParams(resamples=200, folds=3)


def found_of(a, b, **named):
    return displacement.compute((probe(a, **named), probe(b, "p@8", **named)), QUICK)


def claims(found):
    """Which of shift, narrower or wider, and rotation the sentences claim."""
    words = {
        "shift": "one shift for all explains",
        "narrower": "closer together",
        "wider": "farther apart",
        "rotation": "one rotation for all explains another",
    }
    said = " ".join(f.text for f in displacement.findings([found]))
    return {name for name, word in words.items() if word in said}


def circles(height):
    flat = np.hypot(1, height)
    return np.hstack([sphere(dimension=4), np.full((160, 1), height)]) / flat


TURNS = ortho_group.rvs(5, random_state=2)
FAR = 9 * np.eye(6)[0]


@pytest.mark.parametrize(
    ("a", "b", "claimed", "nothing_left"),
    [
        pytest.param(circles(-0.3), circles(0.3), {"shift"}, MAPS, id="shift"),
        pytest.param(sphere(400), sphere(400) @ TURNS, {"rotation"}, (TURNED, WHOLE), id="rotation"),
        pytest.param(circles(-0.3), circles(0.3) @ TURNS, {"shift", "rotation"}, (TURNED, WHOLE), id="both"),
        pytest.param(noisy(1, 100) + FAR, noisy(1, 100) + 2 * FAR, {"shift", "narrower"}, (), id="shrinkage"),
        pytest.param(noisy(1, 100), noisy(2, 100), set(), (), id="noise"),
        pytest.param(noisy(1, 100, spread=0.1), noisy(2, 100, spread=0.6), set(), (), id="more noise"),
    ],
)
def test_what_was_planted_is_called_what_it_is(a, b, claimed, nothing_left):
    found = found_of(a, b)
    assert claims(found) - {"wider"} == claimed
    for what in nothing_left:
        assert found.estimates[what, "p@8"].value == pytest.approx(0, abs=1e-9)


def test_a_cloud_that_shrinks_by_half_is_half_as_wide_and_its_way_back_is_twice_as_far():
    """About a far point vectors of unit length are nearly a plane, with no noise to lose anything in."""
    found = found_of(noisy(1, 100) + 10 * FAR, noisy(1, 100) + 20 * FAR)
    spread, there, back = (found.estimates[what, "p@8"].value for what in (SPREAD, FOLLOWS, BACK[FOLLOWS]))
    assert spread == pytest.approx(0.5, abs=0.01)
    assert there == pytest.approx(0.5, abs=0.01)
    assert back == pytest.approx(2.0, abs=0.03)


def test_noise_takes_as_much_from_the_way_back_as_from_the_way_there():
    found = found_of(noisy(1, 200), noisy(2, 200))
    there, back = (found.estimates[what, "p@8"].value for what in (FOLLOWS, BACK[FOLLOWS]))
    assert there == pytest.approx(back, abs=0.03)
    assert there < 0.9
    assert found.estimates[SPREAD, "p@8"].low < 1 < found.estimates[SPREAD, "p@8"].high
    said = " ".join(f.text for f in displacement.findings([found]))
    assert "no shift for all is found" in said
    assert "no rotation for all is found" in said


def test_rotation_beyond_shift_and_scale_is_what_these_leave_less_what_all_leave():
    found = found_of(noisy(1), noisy(2) @ ortho_group.rvs(6, random_state=0))
    turn, scaled, whole = (found.estimates[what, "p@8"] for what in (TURN, SCALED, WHOLE))
    assert turn.value == pytest.approx(scaled.value - whole.value)
    np.testing.assert_allclose(turn.draws, scaled.draws - whole.draws, atol=1e-6)


def world(seed, images, model, dimension=8):
    """Two versions of unequally many images, of models that are all alike."""
    shift = np.random.default_rng(5).normal(size=dimension) / np.sqrt(dimension)
    people, rng = len(images), np.random.default_rng([seed, model])
    owners = np.repeat(np.arange(people), images)
    centres = np.random.default_rng([1, seed]).normal(size=(people, dimension))[owners]

    def own(size):
        return size * rng.normal(size=(people, dimension))[owners] + 0.6 * rng.normal(size=centres.shape)

    a = centres + own(0.5)
    return probe(a, "p", owners=owners), probe(0.8 * a + shift + own(0.4), "p@8", owners=owners)


def test_an_interval_holds_the_mean_and_equal_models_are_seldom_told_apart():
    """40 samples of 80 people, one of 60 images: the table in benchmarks/separability.py has more."""
    images = np.r_[60, np.full(79, 2)]
    params = DisplacementParams(resamples=500)
    found, false = {what: [] for what in (SHIFT, SPREAD, SCALED, FOLLOWS)}, 0
    for seed in range(40):
        results = [displacement.compute(world(seed, images, k), params) for k in range(2)]
        for what, ends in found.items():
            ends += [
                [getattr(r.estimates[what, "p@8"], end) for end in ("value", "low", "high")] for r in results
            ]
        gaps = [f.gap for f in displacement.findings(results) if "displacement in m and" in f.text]
        false += any(gap.sign in (-1, 1) for gap in gaps)
    for what, ends in found.items():
        value, low, high = np.array(ends).T
        assert 0.86 <= ((low <= value.mean()) & (value.mean() <= high)).mean() <= 0.995, what
    assert false <= 5


def test_items_are_joined_by_name_and_their_order_does_not_matter():
    a, b, c = (probe(noisy(k), name) for k, name in enumerate(("p", "p@8", "p@4")))
    found = displacement.compute((a, b, c), QUICK)
    shuffled = [s.take(np.random.default_rng(k).permutation(80)) for k, s in enumerate((a, b, c))]
    again = displacement.compute(shuffled, QUICK)
    assert again.estimates == found.estimates
    assert displacement.compute((a, b.take(range(70)), c), QUICK).dropped == 10


def test_equal_versions_are_said_to_be_equal():
    a = probe(noisy(0))
    found = displacement.compute((a, replace(a, probe="p@8")), QUICK)
    assert displacement.findings([found])[0].text == "In m no image has another vector under another probe."
    assert [chart.title for chart in displacement.charts([found])] == ["How far images move"]


def test_two_models_are_compared_by_what_a_shift_explains():
    results = [
        displacement.compute((probe(noisy(1), model=m), probe(noisy(2) + gap, "p@8", model=m)), QUICK)
        for m, gap in (("weak", 0.1), ("strong", 1.0))
    ]
    said = displacement.findings(results)[-1]
    assert said.text.startswith("From p to p@8, one shift for all explains")
    assert said.text.index("strong") < said.text.index("weak")
    assert said.gap.sign == 1


def test_of_several_probes_the_furthest_is_told():
    sets = [
        probe(noisy(k) + gap, name) for k, (name, gap) in enumerate({"p": 0, "p@8": 2.0, "p@64": 0.1}.items())
    ]
    found = displacement.compute(sets, QUICK)
    assert "From p to p@8" in displacement.findings([found])[0].text


def test_one_probe_is_refused():
    with pytest.raises(UserError, match="p in m is the model's only probe"):
        displacement.compute((embedding_set(),), QUICK)


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="only 3 are in every probe: give images of at least 4"):
        displacement.compute((embedding_set(3), embedding_set(3, probe="q")), QUICK)
