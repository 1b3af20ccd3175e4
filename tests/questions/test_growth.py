"""Who leaves more unnamed than matters fails; who surely does not holds; and what is open is open."""

from embedlab.analyses.scaling import FNIR, FPIR, THRESHOLD, Scaling, enrolled
from embedlab.questions.growth import QUESTION
from tests.questions.planted import bare, by_key, told

PEOPLE = 1_000_000


def found(fnir, model="m", probe="p", sd=0.01):
    place = enrolled(PEOPLE)
    numbers = by_key({(FNIR, place): fnir, (THRESHOLD, place): 0.5, (FPIR, place): 0.01}, sd)
    title = f"{probe} in {model}"
    return bare(Scaling, title=title, model=model, probe=probe, people=PEOPLE, fpir=0.01, estimates=numbers)


def test_who_leaves_many_unnamed_fails():
    (one,) = told(QUESTION, scaling=[found(0.3)])
    assert (one.verdict, one.hazard) == ("yes", False)
    assert {what: number.value for what, number in one.evidence.items()} == {THRESHOLD: 0.5, FPIR: 0.01}
    lead = "m leaves over 10% of enrolled people’s images unnamed once 1,000,000 are enrolled: "
    assert one.text.startswith(f"{lead}FNIR extrapolated from p, at FPIR 0.01 (30.0% [")


def test_who_leaves_few_unnamed_holds():
    (one,) = told(QUESTION, scaling=[found(0.02)])
    assert one.verdict == "no"
    assert one.text.startswith(
        "m leaves at most 10% of enrolled people’s images unnamed once 1,000,000 are enrolled: FNIR"
    )


def test_what_the_interval_does_not_decide_is_open():
    (one,) = told(QUESTION, scaling=[found(0.11)])
    assert one.verdict == "undecided"
    assert one.text.startswith(
        "Whether m leaves over 10% of enrolled people’s images unnamed once 1,000,000 are enrolled is open"
    )


def test_each_model_is_judged_on_its_first_probe():
    every = [found(rate, model, probe) for model in "ab" for probe, rate in (("p", 0.02), ("p@32", 0.5))]
    each = told(QUESTION, scaling=every)
    assert [(one.subject, one.verdict) for one in each] == [(("a",), "no"), (("b",), "no")]


def test_of_shrunk_images_alone_it_says_so_and_is_not_told_beside_others():
    whole, small = told(QUESTION, scaling=[found(0.3), found(0.9, "n", "p@16")])
    assert small.text.startswith(
        "n leaves over 10% of enrolled people’s images of p@16 unnamed once 1,000,000 are enrolled: FNIR"
    )
    assert whole.unit != small.unit
    assert whole.kind != small.kind
