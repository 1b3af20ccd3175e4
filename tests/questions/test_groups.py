"""Groups that differ by more than matters are named; those that do not are not; and what is open is open."""

from embedlab.analyses.groups import FMR, FNMR, Groups
from embedlab.questions.groups import QUESTION
from embedlab.report.answering import by_question
from tests.questions.planted import bare, by_key, told

KINDS = (("sex", "f", 100, 100, 300), ("sex", "m", 100, 100, 300))


def found(fmr, fnmr, model="m", probe="p", sd=0.005, kinds=KINDS):
    names = [name for _, name, *_ in kinds]
    rates = {(FMR, "sex", g, g): rate for g, rate in zip(names, fmr, strict=True)}
    rates |= {(FNMR, "sex", g): rate for g, rate in zip(names, fnmr, strict=True)}
    return bare(
        Groups,
        title=f"{probe} in {model}",
        model=model,
        probe=probe,
        groups=kinds,
        estimates=by_key(rates, sd),
    )


def verdicts(*results):
    return [one.verdict for one in told(QUESTION, groups=list(results))]


def test_groups_that_differ_by_more_than_matters_are_named():
    matched, missed = told(QUESTION, groups=[found((0.30, 0.10), (0.02, 0.12))])
    assert (matched.verdict, matched.hazard) == ("yes", True)
    assert matched.text.startswith(
        "In m two people of sex “f” match falsely more often than two of “m”: FMR is 0.3 against 0.1 on p "
        "(3 [2."
    )
    assert "times the FMR of another group" in matched.text
    assert (missed.verdict, missed.hazard) == ("yes", True)
    assert missed.text.startswith(
        "In m people of sex “m” are missed more often than those of “f”: FNMR is 12.0% against 2.0% on p "
    )


def test_groups_that_are_shown_to_be_alike_are_a_no_whichever_is_above():
    for rates in ((0.31, 0.30), (0.30, 0.31)):
        assert verdicts(found(rates, (0.05, 0.05), sd=0.002)) == ["no", "no"]


def test_what_few_people_cannot_tell_is_open():
    assert verdicts(found((0.3, 0.2), (0.05, 0.06), sd=0.05)) == ["undecided", "undecided"]


def test_no_end_of_a_ratio_is_below_zero_however_many_claims_stand_together():
    matched, _ = told(
        QUESTION, groups=[found((0.3, 0.1), (0.05, 0.06), probe=str(k), sd=0.05) for k in range(9)]
    )
    assert matched.verdict == "undecided"
    assert 0 < matched.effect.low < 1.5 < 3 < matched.effect.high
    # As far below as above, in multiples.
    assert matched.effect.value / matched.effect.low > 2


def test_the_probe_and_the_groups_that_differ_most_decide():
    kinds = (*KINDS, ("sex", "x", 100, 100, 300))
    alike = found((0.30, 0.30, 0.30), (0.05, 0.05, 0.05), kinds=kinds, sd=0.001)
    worse = found((0.30, 0.30, 0.90), (0.05, 0.05, 0.2), probe="p@32", kinds=kinds, sd=0.001)
    claims = QUESTION.judge({"groups": [alike, worse]}, QUESTION.params)
    assert [claim.among for claim in claims] == [6, 6]
    texts = [one.text for one in told(QUESTION, groups=[alike, worse])]
    assert all("sex “x”" in text and "p@32" in text for text in texts)


def test_a_group_that_is_never_matched_has_no_ratio_and_says_so():
    one, _ = told(QUESTION, groups=[found((0.3, 0.0), (0.05, 0.05))])
    assert one.verdict == "cannot"
    assert one.text == "In m no two people of sex “m” match falsely, so that FMR has no ratio to theirs."


def test_a_group_that_is_never_matched_hides_no_hazard_among_the_others():
    kinds = (*KINDS, ("sex", "x", 100, 100, 300))
    one, _ = told(QUESTION, groups=[found((0.3, 0.1, 0.0), (0.05, 0.05, 0.05), kinds=kinds)])
    assert (one.verdict, one.hazard) == ("yes", True)
    assert "of sex “f” match falsely more often than two of “m”" in one.text
    assert "(no false match within sex “x”; " in one.text
    one, _ = told(QUESTION, groups=[found((0.3, 0.3, 0.0), (0.05, 0.05, 0.05), kinds=kinds, sd=0.002)])
    assert one.verdict == "no"
    assert one.text.startswith("In m people of no other group match falsely over 1.5 times as often as of ")


def test_each_model_has_its_own_answers():
    each = told(QUESTION, groups=[found((0.3, 0.1), (0.1, 0.1), model=m) for m in "ab"])
    assert [one.subject for one in each] == [("a",), ("a",), ("b",), ("b",)]


def test_a_model_is_like_another_only_where_the_same_groups_are_worse_off():
    one, like, other = (
        found(fmr, fnmr, model)
        for model, fmr, fnmr in (
            ("a", (0.30, 0.10), (0.02, 0.12)),
            ("b", (0.30, 0.10), (0.02, 0.12)),
            ("c", (0.10, 0.30), (0.12, 0.02)),
        )
    )
    (asked,) = by_question(told(QUESTION, groups=[one, like, other]))
    assert [(line.lead.subject, len(line.likewise)) for line in asked.lines] == [
        (("a",), 1),
        (("a",), 1),
        (("c",), 0),
        (("c",), 0),
    ]
