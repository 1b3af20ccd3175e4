import dataclasses

import numpy as np
import pytest

from embedlab import resolutions
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates
from embedlab.resolutions import AcrossResolutions, Ladder
from tests.planted import ladder


@pytest.fixture(scope="module")
def sets():
    return ladder({8: 2.5, 16: 0.8, 32: 0.5, 0: 0.0})


def test_resolutions_stand_in_rising_order_and_native_last(sets):
    found = Ladder.of([sets[k] for k in (2, 0, 3, 1)])
    assert found.pixels == (8, 16, 32, 0)
    assert found.names == ("8 px", "16 px", "32 px", "native")
    assert found.native is found.images[-1]
    assert found.impostors == (200**2 - 50 * 4**2) // 2


def test_images_that_some_resolution_lacks_are_left_out_and_counted(sets):
    found = Ladder.of([sets[3].take(np.arange(3, 200)), sets[0].take(np.arange(190))])
    assert (len(found.native.items), found.left_out) == (187, 13)
    assert found.images[0].items.tolist() == found.native.items.tolist()


def test_of_several_data_sets_the_first_is_taken_and_the_others_are_named(sets):
    found = Ladder.of([sets[3], sets[0], *ladder({0: 0.1, 16: 0.2}, data="e")])
    assert (found.dataset, found.others, found.pixels) == ("d", ("e",), (8, 0))


def test_the_probes_wanted_are_the_first_data_set_at_every_resolution():
    pixels = "8 64  16 8"
    assert resolutions.wanted(pixels, "x", ("a@32",)) == ("a", "a@64", "a@16", "a@8")
    assert resolutions.wanted(pixels, "x", ("a", "b", "b@8")) == ("a", "a@64", "a@16", "a@8", "b", "b@8")
    assert resolutions.wanted(pixels, "x", ()) == ()


def test_to_the_usual_resolutions_come_those_that_the_study_names():
    named = ("a", "a@20", "a@32", "a@phone", "b", "b@12")
    wanted = ("a", "a@64", "a@32", "a@24", "a@20", "a@16", "a@8", "b", "b@12")
    assert resolutions.wanted(resolutions.PIXELS, "x", named) == wanted


@pytest.mark.parametrize("pixels", ["", "8,16", "8 1", "8.5", "-8", "٣٢"])
def test_pixels_that_are_no_whole_numbers_are_refused(pixels):
    with pytest.raises(UserError, match=r"drift\.pixels must be whole numbers of at least 2"):
        resolutions.read(pixels, "drift")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ladder({8: 0.1, 16: 0.1}),
            "m has no native images of d, on which the threshold is set: add the probe d",
        ),
        (ladder({0: 0.1}), "d in m is there as it is only: add a probe such as d@32"),
        (ladder({0: 0.1, 8: 0.1}, images=1), "d in m has no person with two images at every resolution"),
        ([*ladder({0: 0.1}), *ladder({0: 0.1}, data="d@x")], "after @ stands a whole number of pixels"),
    ],
)
def test_sets_that_are_no_ladder_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        Ladder.of(given)


def test_a_far_that_cannot_be_told_gives_way_to_the_lowest_that_can(sets):
    found = Ladder.of(sets)
    assert [found.resolvable(far) for far in (0.02, 1e-6)] == [0.02, 1e-4]
    tiny = Ladder.of(ladder({0: 0.1, 8: 0.1}, people=2, images=2))
    with pytest.raises(UserError, match="has 4 impostor pairs.* 10 are needed, and 100 for FAR"):
        tiny.resolvable(0.01)


def result(sets, pixels="8 16 32", far=0.01):
    found = Ladder.of(sets)
    cells = [(g, p) for k, g in enumerate(found.names) for p in found.names[: k + 1]]
    estimates = Estimates({("TAR", *cell): Estimate(0.5 + k / 20, 0.4, 0.9) for k, cell in enumerate(cells)})
    return AcrossResolutions(
        **resolutions.shared(found, resolutions.read(pixels, "x"), far), estimates=estimates
    )


def test_gallery_and_probe_may_change_places(sets):
    found = result(sets)
    assert found.place((0, 3)) == found.place((3, 0)) == ("native", "8 px")
    assert found.at("TAR", (1, 2)) == found.estimates["TAR", "32 px", "16 px"]
    assert resolutions.between(found.place((0, 3))) == "between native and 8-px images"
    assert resolutions.between(found.place((0, 0))) == "between 8-px images"


def test_what_was_asked_and_could_not_be_done_is_said(sets):
    assert resolutions.cautions(result(sets)) == []
    cut = [sets[3], sets[0].take(np.arange(190)), *ladder({0: 0.1}, data="e")]
    said = [f.text for f in resolutions.cautions(result(cut, "8 12 64", 1e-6))]
    assert said == [
        "Each resolution of d in m has 17,672 impostor pairs, too few for FAR 1e-06 (at least 1,000,000 are "
        "needed); FAR 0.0001 is used instead.",
        "There are no vectors of 12 px, 64 px of d in m.",
        "On d in m, 10 images are left out, as some resolution lacks them.",
        "Of the data sets only d was measured in m, not e: ask for one at a time.",
    ]


def test_curves_put_native_at_the_right_end(sets):
    found = result(sets)
    drawn = resolutions.curves([found, dataclasses.replace(found, model="b")], "TAR", "t", "Note.", 0.01)
    assert drawn.xticks == {8.0: "8 px", 16.0: "16 px", 32.0: "32 px", 64.0: "native"}
    assert [c.name for c in drawn.curves] == [
        *(
            "m, native gallery",
            "m, among themselves",
            "b, native gallery",
            "b, among themselves",
            "null: 0.01",
        )
    ]
    native, own = drawn.curves[:2]
    assert native.y.tolist() == [found.at("TAR", (3, p)).value for p in range(4)]
    assert own.y.tolist() == [found.at("TAR", (p, p)).value for p in range(4)]
    assert drawn.curves[-1].role == "null"
