"""What converting a gallery loses, in both directions of two models and at the ends of many."""

from embedlab.analyses.mapping import Mapping
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET
from embedlab.questions.conversion import QUESTION
from tests.questions.planted import bare, by_key, told


def mapping(a, b, forth, back, own=0.9, probe="faces"):
    found = {
        (RANK_1, entry, *way): value
        for way, mapped in (((a, b), forth), ((b, a), back))
        for entry, value in ((RIDGE, mapped), (TARGET, own))
    }
    return bare(Mapping, probe=probe, sources=(a, b), gallery=100, fitted_people=40, estimates=by_key(found))


def test_each_direction_is_judged():
    no, yes = told(QUESTION, mapping=[mapping("a", "b", forth=0.9, back=0.3)])
    assert (no.verdict, no.subject) == ("no", ("a", "b"))
    assert (yes.verdict, yes.subject) == ("yes", ("b", "a"))
    assert yes.text.startswith("Converting b to a by a map learned from 40 people loses: ")
    assert "rank-1 among 100 others is 30.0% converted, 90.0% in a itself" in yes.text


def test_of_many_models_the_best_and_the_worst_direction_are_told():
    every = [mapping("a", "b", 0.8, 0.5), mapping("a", "c", 0.7, 0.2), mapping("b", "c", 0.6, 0.4)]
    best, worst = told(QUESTION, mapping=[*every, mapping("a", "b", 0.0, 0.0, probe="faces@32")])
    assert (best.subject, worst.subject) == (("a", "b"), ("c", "a"))
