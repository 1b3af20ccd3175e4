"""Verdicts: shown where the numbers show them, and together false in at most 5 % of reports."""

import dataclasses

import numpy as np
import pytest

from embedlab import question
from embedlab.analysis import Params, Result
from embedlab.errors import UserError
from embedlab.estimates import MOST_TIMES, Estimate
from embedlab.question import MANY, TIMES, Claim, Question, answers, best_of, judged, simultaneous, verdict_of

SAID = {"yes": "it is so", "no": "it is not so", "undecided": "whether it is so is open"}


def claim(value, half, *, matters=0.02, **more):
    return Claim(("a",), Estimate(value, value - half, value + half, 100), matters, SAID, **more)


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [(0.10, 0.05, "yes"), (0.00, 0.01, "no"), (-0.30, 0.05, "no"), (0.03, 0.05, "undecided")],
)
def test_a_verdict_needs_the_whole_interval(value, half, verdict):
    assert judged("q", claim(value, half), 1).verdict == verdict


def test_numbers_that_are_turned_round_turn_the_verdict_round():
    rng = np.random.default_rng(0)
    for value, half in rng.uniform(0, 0.2, (200, 2)):
        above, below = (verdict_of(Estimate(v, v - half, v + half), 0.02) for v in (value, -value))
        if above == "yes":
            assert below == "no"
        assert verdict_of(Estimate(value), 0.02) == "undecided"


@pytest.mark.parametrize(("people", "verdict"), [(12, "undecided"), (140, "undecided"), (1000, "no")])
def test_that_nobody_of_a_few_differs_does_not_show_that_few_people_do(people, verdict):
    """The chance that none of n differs where 2 % of people would, 0.98^n, is below 5 % of three claims."""
    draws = np.zeros(50, np.float32)
    none = Claim(("a",), Estimate(0.0, 0.0, 0.0, people, 0.0, draws, "these"), 0.02, SAID)
    found = judged("q", none, 3)
    assert found.verdict == verdict
    assert found.effect.high == pytest.approx(min(1 - (0.05 / 3) ** (1 / people), 1), rel=0.2)
    if verdict == "undecided":
        times = float(found.text.split("about ")[1].split()[0])
        enough = dataclasses.replace(none.effect, n=round(people * times) + 1)
        assert judged("q", dataclasses.replace(none, effect=enough), 3).verdict == "no"
    unknown = dataclasses.replace(none, effect=Estimate(0.0, n=people))
    assert judged("q", unknown, 3).effect.low is None


def test_many_claims_widen_every_interval_about_its_value():
    one = Estimate(0.1, 0.08, 0.16, 50)
    assert simultaneous(one, 1) == one
    wide = simultaneous(one, 20)
    # Of 20 claims each has z(1 - 0.025 / 20) = 3.023 instead of 1.960.
    assert (wide.high - wide.value) / (one.high - one.value) == pytest.approx(3.0233 / 1.95996, abs=1e-4)
    assert (wide.high - wide.value) / (wide.value - wide.low) == pytest.approx(3.0)


def test_reports_of_what_is_not_so_hold_a_false_verdict_in_at_most_five_percent():
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(400):
        values = rng.normal(0, 0.03, 12)
        made = [judged("q", claim(v, 1.96 * 0.03, matters=0.0), 12) for v in values]
        false += any(one.verdict == "yes" for one in made)
    assert false / 400 <= 0.05


def test_what_would_decide_is_what_decides():
    open_ = judged("q", claim(0.06, 0.08), 1)
    assert "about 4 times as many people would decide" in open_.text
    assert judged("q", claim(0.06, 0.08 / np.sqrt(4) * 0.99), 1).verdict == "yes"
    assert "about 64 times as many" in judged("q", claim(0.03, 0.08), 1).text
    assert (
        "so near to what matters that more people would hardly decide"
        in judged("q", claim(0.0200001, 0.08), 1).text
    )
    # Far from what matters, and not known at all.
    assert "over 100 times as many people would decide" in judged("q", claim(0.06, 0.5), 1).text
    nobody = judged("q", Claim(("a",), Estimate(0.1, n=3), 0.02, SAID), 1)
    assert "3 people are too few to judge by" in nobody.text


def test_where_all_who_are_known_may_be_needed_no_number_of_people_is_said_to_decide():
    def told(needed, high):
        effect = Estimate(np.log(needed), np.log(4), np.log(high), 100)
        many = Claim(("a",), effect, np.log(100), SAID, spec=MANY, most=np.log(150))
        return judged("q", many, 1).text

    assert "; more than 150 could not be tried)" in told(6, 150)
    assert "; more than 150 could not be tried)" in told(6, 400)
    assert "times as many people would decide" in told(6, 120)
    # What would have to rise is the lower end.
    assert "could not be tried" not in told(130, 150)


def test_an_outlook_is_of_the_interval_as_it_was_widened_and_not_as_it_is_told():
    effect = Estimate(0.9, -0.4, 2.2, 100)
    assert "about 2.2 times as many" in judged("q", Claim(("a",), effect, 0.02, SAID), 1).text
    assert "[-40.0, +100.0]" in judged("q", Claim(("a",), effect, 0.02, SAID), 1).text
    ended = Estimate(-0.5, -2.2, 1.2, 100)
    assert "about 11 times as many" in judged("q", Claim(("a",), ended, 0.02, SAID), 1).text


def test_where_an_interval_ends_with_what_a_share_can_be_it_says_not_how_many_would_decide():
    def told(value, low, high):
        share = Claim(("a",), Estimate(value, low, high, 100), 0.1, SAID, spec=".1%")
        return judged("q", share, 3).text

    assert "; many more people would decide)" in told(0.725, 0.0, 1.0)
    assert "; many more people would decide)" in told(0.05, 0.0, 1.0)
    # The other end is what would have to move.
    assert "times as many people would decide" in told(0.725, 0.05, 1.0)
    assert "times as many people would decide" in told(0.05, 0.0, 0.3)


def test_what_is_surely_there_is_said_where_it_is_open_whether_it_matters():
    said = {**SAID, "some": "it is so, by how much is open"}
    for effect, half, text in (
        (0.06, 0.05, "it is so, by"),
        (0.06, 0.08, "whether"),
        (0.06, 0.02, "it is so ("),
    ):
        one = claim(effect, half)
        answer = judged("q", dataclasses.replace(one, said=said, word="gain"), 1)
        assert answer.text.startswith(text), answer.text
        assert "(gain +6.0 points" in answer.text
        assert answer.verdict == ("yes" if half < 0.04 else "undecided")


def test_of_a_ratio_no_more_is_said_than_its_own_interval_shows():
    said = {**SAID, "some": "it is so, by how much is open"}
    for low, text in ((1.1, "it is so, by"), (0.8, "whether")):
        ratio = Estimate(np.log(1.8), np.log(low), np.log(3.0), 100)
        answer = judged("q", Claim(("a",), ratio, np.log(1.5), said, spec=TIMES), 1)
        assert answer.text.startswith(text), answer.text
        assert answer.verdict == "undecided"


def test_of_a_ratio_hundreds_are_written_out():
    for value, low, high, text in (
        (54, 13, 365.4, "54 [13, 365] times"),
        (1.86, 0.753, 5.31, "1.9 [0.75, 5.3] times"),
        (2000, 99.6, 12345, "2,000 [100, 12,345] times"),
    ):
        ratio = Estimate(np.log(value), np.log(low), np.log(high), 100)
        answer = judged("q", Claim(("a",), ratio, np.log(1.5), SAID, spec=TIMES, unit="times"), 1)
        assert answer.told == text


def test_of_a_ratio_no_more_times_are_told_than_it_can_show_whatever_it_is_widened_by():
    ratio = Estimate(np.log(3.2), np.log(0.014), MOST_TIMES, 60)
    one = Claim(("a",), ratio, np.log(1.5), SAID, spec=TIMES, unit="times", most=MOST_TIMES)
    assert judged("q", one, 41).told == "3.2 [0.001, 999] times"


def test_how_many_would_decide_passes_over_resamples_that_are_no_numbers():
    there = np.random.default_rng(0).normal(0.06, 0.04, 1000)
    texts = []
    for draws in (there, np.where(np.arange(1000) < 50, np.nan, there)):
        effect = Estimate(0.06, -0.02, 0.14, 100, draws=draws.astype(np.float32), drawn_from="p")
        texts.append(judged("q", Claim(("a",), effect, 0.02, SAID), 1).text)
    assert "about 4 times as many people would decide" in texts[0]
    assert texts[1] == texts[0]


def test_the_sentence_says_the_verdict_and_the_interval_that_it_rests_on():
    answer = judged("q", claim(0.10, 0.01, hazard="yes", winner="a"), 3)
    assert answer.text == f"it is so ({answer.effect.points()})."
    assert answer.hazard
    assert answer.over == 3
    assert not judged("q", claim(0.0, 0.001, hazard="yes"), 3).hazard


def test_the_best_is_held_against_the_second_best():
    draws = np.random.default_rng(2).normal(0, 0.01, (3, 500)).astype(np.float32)
    three = {
        name: Estimate(v, v - 0.02, v + 0.02, 80, draws=v + draws[k], drawn_from="one draw")
        for k, (name, v) in enumerate({"a": 0.5, "b": 0.9, "c": 0.7}.items())
    }
    best, second, gap, among = best_of(three)
    assert (best, second, among) == ("b", "c", 3)
    assert gap.value == pytest.approx(0.2)
    assert gap.sign == 1


class _Found(Result):
    pass


def planted(monkeypatch, judge):
    asked = Question("Is it so?", {"distances": "it measures"}, Params(), judge)
    monkeypatch.setattr(question, "names", lambda: ("planted",))
    monkeypatch.setattr(question, "get", lambda name: asked)


def test_answers_are_simultaneous_over_all_claims_of_the_report(monkeypatch):
    planted(monkeypatch, lambda results, params: [claim(0.1, 0.01), claim(0.1, 0.01, among=3)])
    assert [one.over for one in answers({"distances": [_Found("x")]})] == [4, 4]


def test_a_question_whose_analyses_gave_nothing_says_why(monkeypatch):
    def judge(results, params):
        raise UserError("only one probe is at hand")

    planted(monkeypatch, judge)
    assert answers({}) == []
    (cannot,) = answers({}, {"distances": "there are no people with two images"})
    assert (cannot.verdict, cannot.text) == ("cannot", "there are no people with two images")
    (unable,) = answers({"distances": [_Found("x")]})
    assert (unable.verdict, unable.text) == ("cannot", "only one probe is at hand")


def test_every_question_is_asked_in_words_and_says_what_it_needs():
    from embedlab import analysis

    for name in question.names():
        one = question.get(name)
        assert one.name == name
        assert one.text.endswith("?")
        assert one.needs
        assert set(one.needs) <= set(analysis.names())
    with pytest.raises(UserError, match="there is no question 'nothing'"):
        question.get("nothing")


def test_a_share_stays_a_share_however_many_claims_are_judged():
    one = Claim(("a",), Estimate(0.96, 0.9, 0.99, 100), 0.5, SAID, spec=".0%")
    assert "96% [87%, 100%]" in judged("q", one, 20).text
    gain = Claim(("a",), Estimate(0.34, -0.06, 0.84, 100), 0.02, SAID)
    assert "+34.0 points [-27.7, +100.0]" in judged("q", gain, 20).text


def test_few_people_decide_nothing_whatever_their_interval():
    """Five have an interval and ten a claim, in answers as in sentences."""
    for n, verdict in ((5, "undecided"), (9, "undecided"), (10, "yes")):
        one = judged("q", Claim(("a",), Estimate(0.5, 0.4, 0.6, n), 0.02, SAID), 1)
        assert one.verdict == verdict
        assert (f"{n} people are too few to judge by" in one.text) == (n < 10)


def test_a_question_that_finds_nothing_to_judge_says_so(monkeypatch):
    planted(monkeypatch, lambda results, params: [])
    (one,) = answers({"distances": [_Found("x")]})
    assert (one.verdict, one.text) == ("cannot", "the results hold nothing that it could be judged by")


def test_what_was_measured_on_different_people_is_not_blamed_on_their_number():
    one = judged("q", Claim(("a", "b"), Estimate(0.5, n=60), 0.02, SAID), 1)
    assert "measured on different people or images" in one.text


def test_a_stretched_difference_of_shares_is_not_told_beyond_what_shares_can_differ():
    one = judged("q", claim(0.1, 0.8), 40)
    assert (one.effect.low, one.effect.high) == (-1.0, 1.0)
    assert "+100.0" in one.text
