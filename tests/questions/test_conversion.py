"""What a moved gallery loses, both ways of two models and at the ends of many; and how many must be known."""

import pytest

from embedlab.analyses.mapping import Mapping
from embedlab.analyses.migration import NEEDED, Migration
from embedlab.maths.clouds.migration import ADAPTERS, MOVED, NEW, SELF, WRONG
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET
from embedlab.questions.conversion import QUESTION
from tests.questions.planted import bare, by_key, estimate, told


def mapping(a, b, forth, back, own=0.9, probe="faces"):
    found = {
        (RANK_1, entry, *way): value
        for way, mapped in (((a, b), forth), ((b, a), back))
        for entry, value in ((RIDGE, mapped), (TARGET, own))
    }
    return bare(Mapping, probe=probe, sources=(a, b), gallery=100, fitted_people=40, estimates=by_key(found))


def migration(a, b, moved=0.9, needed=20, spread=2.0, own=0.9, wrong=0.01, probe="faces", known=840):
    """Galleries moved equally well both ways; one adapter needs fewest, the others ten times as many."""
    found = by_key(
        {
            (RANK_1, gallery, *way): value
            for way in ((a, b), (b, a))
            for gallery, value in ((MOVED, moved), (NEW, own), (WRONG, wrong))
        }
    )
    for way in ((a, b), (b, a)):
        for seed, name in enumerate(ADAPTERS):
            many = 1 if name == SELF else 10
            found[NEEDED, name, *way] = estimate(many * needed, many * spread, seed)
    return bare(
        Migration, probe=probe, sources=(a, b), gallery=100, known=known, matters=0.02, estimates=found
    )


def test_each_direction_is_judged():
    no, yes = told(QUESTION, mapping=[mapping("a", "b", forth=0.9, back=0.3)])
    assert (no.verdict, no.subject) == ("no", ("a", "b"))
    assert (yes.verdict, yes.subject) == ("yes", ("b", "a"))
    assert yes.text.startswith("Searching a gallery of a by mapped images of b loses: ")
    assert "(by a map learned from 40 people; loss " in yes.text
    assert "rank-1 among 100 others of faces is 30.0% mapped, 90.0% by its own" in yes.text


def test_galleries_of_two_data_sets_are_not_told_as_one():
    probes = {"faces": 0.3, "faces@32": 0.3, "office": 0.2}
    every = [mapping("a", "b", mapped, mapped, probe=probe) for probe, mapped in probes.items()]
    found = told(QUESTION, mapping=every)
    assert len({one.unit for one in found}) == len(found) == 2


def test_of_many_models_the_best_and_the_worst_direction_are_told():
    every = [mapping("a", "b", 0.8, 0.5), mapping("a", "c", 0.7, 0.2), mapping("b", "c", 0.6, 0.4)]
    best, worst = told(QUESTION, mapping=[*every, mapping("a", "b", 0.0, 0.0, probe="faces@32")])
    assert (best.subject, worst.subject) == (("a", "b"), ("c", "a"))


@pytest.mark.parametrize(
    ("needed", "spread", "verdict", "said"),
    [
        (20, 2, "no", "Fewer than 100 known people move a gallery of a to b within 2 points of what 840 do"),
        (400, 40, "yes", "More than 100 known people are needed to move a gallery of a to b within 2 points"),
        (90, 30, "undecided", "Whether over 100 known people are needed to move a gallery of a to b within"),
    ],
)
def test_how_many_must_be_known_is_told_by_the_adapter_that_needs_fewest(needed, spread, verdict, said):
    *_, one, other = told(QUESTION, over=10, migration=[migration("a", "b", needed=needed, spread=spread)])
    assert one.subject == other.subject[::-1] == ("a", "b")
    assert one.verdict == verdict
    assert one.text.startswith(said)
    assert f"(by {SELF}; {needed:,} [" in one.text
    assert one.effect.low < needed < one.effect.high
    assert one.effect.value == pytest.approx(needed)
    assert len(one.evidence) == len(ADAPTERS)


@pytest.mark.parametrize(("known", "claims"), [(20, 2), (100, 2), (101, 4)])
def test_of_fewer_people_than_would_be_few_it_is_not_asked_how_many_it_takes(known, claims):
    found = told(QUESTION, migration=[migration("a", "b", needed=10, known=known)])
    assert len(found) == claims


def test_no_more_people_are_needed_than_are_known():
    *_, one, _ = told(QUESTION, over=90, migration=[migration("a", "b", needed=700, spread=100)])
    assert one.verdict == "yes"
    assert one.effect.low < 700 < one.effect.high
    assert one.effect.high == pytest.approx(840)


def test_a_gallery_that_was_moved_says_more_than_maps_of_single_images():
    found = told(QUESTION, mapping=[mapping("a", "b", 0.5, 0.5)], migration=[migration("a", "b", moved=0.9)])
    assert [one.verdict for one in found] == ["no"] * 4
    assert "learned from 840 people" in found[0].text
    # Where migration could not, of people with one image, what mapping found is told.
    found = told(QUESTION, mapping=[mapping("a", "c", 0.5, 0.5)], migration=[migration("a", "b")])
    assert [(one.subject, one.verdict) for one in found if "learned from" in one.text] == [
        (("a", "b"), "no"),
        (("c", "a"), "yes"),
    ]


def test_of_a_map_that_finds_no_more_than_chance_nobody_asks_how_many_it_takes():
    found = told(QUESTION, migration=[migration("a", "b", moved=0.01)])
    assert [one.verdict for one in found] == ["yes", "yes"]
    assert not any("known people" in one.text for one in found)


def test_a_model_that_recognises_nobody_is_not_said_to_lose_nothing():
    for results in (
        {"mapping": [mapping("a", "b", forth=0.01, back=0.01, own=0.01)]},
        {"migration": [migration("a", "b", moved=0.01, own=0.01)]},
    ):
        for one in told(QUESTION, **results)[:2]:
            assert one.verdict == "cannot"
            assert one.text.startswith("Rank-1 of ")
