import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from embedlab.analyses import membership
from embedlab.analyses.membership import APART, COMPACT, NORM, MembershipParams
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet

FEW = MembershipParams(resamples=300)
HERE = ("seen", "new")


def people(probe, count=80, images=4, noise=0.6, spread=1.0, length=1.0, seed=0, model="m", trained=""):
    """People round centres of their own; ``spread`` sets how far apart, ``noise`` how loose they are."""
    rng = np.random.default_rng([seed, len(probe)])
    labels = np.repeat(np.arange(count), images)
    common = np.zeros(16)
    common[0] = 3.0
    centres = common + spread * rng.normal(size=(count, 16))
    vectors = centres[labels] + noise * rng.normal(size=(len(labels), 16))
    vectors *= length / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors *= rng.uniform(0.9, 1.1, size=(len(labels), 1))
    names = [f"{probe.partition('@')[0]}{k:03d}" for k in labels]
    items = [f"{name}_{k}" for k, name in enumerate(names)]
    return replace(EmbeddingSet.from_rows(model, probe, vectors, items, names), trained=trained)


def pair(model="m", seed=0, known=("yes", "no"), **of_seen):
    return (
        people("seen", model=model, seed=seed, trained=known[0], **of_seen),
        people("new", model=model, seed=seed, trained=known[1]),
    )


def texts(*results):
    return [one.text for one in membership.findings(list(results))]


def test_people_drawn_together_by_training_are_told_by_their_compactness():
    found = membership.compute(pair(noise=0.35), FEW)
    auc = found.estimates[COMPACT, *HERE]
    assert auc.low > 0.6
    assert auc.null == 0.5
    assert texts(found)[0].startswith(
        f"In m people of seen, trained on, are told from new by compactness in {auc.value:.0%} of pairs"
    )
    assert membership.findings([found])[0].tone == "bad"


def test_people_pushed_apart_by_training_are_told_by_their_apartness():
    found = membership.compute(pair(spread=3.0, noise=1.8), FEW)
    assert found.estimates[APART, *HERE].low > 0.6


def test_longer_vectors_are_told_by_their_norm_and_equal_ones_have_none():
    assert membership.compute(pair(length=1.2), FEW).estimates[NORM, *HERE].low > 0.9
    level = [replace(one, vectors=one.unit) for one in pair()]
    assert membership.compute(level, FEW).estimates.at(NORM, HERE) is None


def test_where_nothing_was_learned_half_of_the_pairs_are_told_and_intervals_hold_it():
    """Of 40 sets that were drawn alike, 95 % intervals leave out one half in about two."""
    missed = {COMPACT: 0, APART: 0, NORM: 0}
    for seed in range(40):
        found = membership.compute(pair(seed=seed), FEW)
        for attack in missed:
            auc = found.estimates[attack, *HERE]
            missed[attack] += not auc.low <= 0.5 <= auc.high
    assert max(missed.values()) <= 6
    assert sum(missed.values()) <= 12


def test_the_auc_is_scikit_learns_of_scores_made_one_by_one():
    seen, new = pair(noise=0.5)
    found = membership.compute((seen, new), replace(FEW, images=4))
    scores = []
    for one in (seen, new):
        for k in range(len(one.identities)):
            cosines = one.unit[one.labels == k] @ one.unit[one.labels == k].T
            scores.append(cosines[~np.eye(4, dtype=bool)].mean())
    inside = np.repeat([1, 0], [len(seen.identities), len(new.identities)])
    assert found.estimates[COMPACT, *HERE].value == pytest.approx(roc_auc_score(inside, scores), abs=1e-9)
    means = np.concatenate(
        [
            np.stack([one.unit[one.labels == k].sum(0) for k in range(len(one.identities))])
            for one in (seen, new)
        ]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (means @ means.T - 2 * np.eye(len(means))).max(axis=1)
    assert found.estimates[APART, *HERE].value == pytest.approx(roc_auc_score(inside, -nearest), abs=1e-9)


def test_the_other_order_of_probes_is_the_other_side():
    seen, new = pair(noise=0.4)
    one = membership.compute((seen, new), FEW).estimates[COMPACT, *HERE]
    other = membership.compute((new, seen), FEW).estimates[COMPACT, *HERE]
    assert other.value == pytest.approx(one.value)
    back = membership.compute((seen, new), FEW).estimates[COMPACT, "new", "seen"]
    assert (back.value, back.low, back.high) == pytest.approx((1 - one.value, 1 - one.high, 1 - one.low))


def test_what_people_differ_by_themselves_is_told_by_a_model_trained_on_neither():
    """Both find the people of seen compacter, one of them no more than they are."""
    learned = membership.compute(pair(model="learned", noise=0.3), FEW)
    control = membership.compute(pair(model="control", known=("no", "no"), noise=0.45), FEW)
    assert control.estimates[COMPACT, *HERE].low > 0.5
    beyond = texts(learned, control)[1]
    assert re.match(r"By \w+ seen is told from new in \d+% in learned, trained on it, and \d+% in", beyond)
    assert "in control, trained on neither: a difference of +" in beyond
    assert not [one for one in texts(learned, control) if one.startswith("In control")]
    same = membership.compute(pair(model="learned", noise=0.45), FEW)
    assert "there is no difference" in texts(same, replace(control, estimates=same.estimates))[1]


def test_what_a_model_is_not_known_to_be_trained_on_is_not_called_so():
    for known in (("", ""), ("no", "no"), ("yes", "yes"), ("yes", "")):
        found = membership.compute(pair(known=known, noise=0.3), FEW)
        assert texts(found) == [
            "No probe shows people that a model is known to be trained on beside others: nothing is told."
        ]
        assert membership.charts([found])


def test_blurred_images_are_held_against_blurred_ones():
    seen, new = pair()
    shrunk = [replace(one, probe=f"{one.probe}@16") for one in (seen, new)]
    found = membership.compute((seen, new, *shrunk), FEW)
    assert set(found.estimates.places(COMPACT)) == {
        HERE, HERE[::-1], ("seen@16", "new@16"), ("new@16", "seen@16"),
    }  # fmt: skip


def with_column(values):
    one = people("all")
    return replace(one, attributes={"trained": np.asarray(values)[one.labels]})


def test_a_column_may_say_who_was_trained_on():
    one = people("all")
    yes = one.labels < 40
    tighter = one.vectors.copy()
    for k in range(40):
        tighter[one.labels == k] += 2 * one.vectors[one.labels == k].mean(0)
    one = replace(one, vectors=tighter, attributes={"trained": np.where(yes, "yes", "no")})
    found = membership.compute((one,), FEW)
    assert found.estimates[COMPACT, "all"].low > 0.6
    assert texts(found)[0].startswith("In m people of all, trained on, are told from others by ")
    assert membership.charts([found])[0].categories == ("all",)


def test_people_of_whom_the_column_says_nothing_are_left_out():
    said = ["yes"] * 30 + ["no"] * 30 + [""] * 20
    assert membership.compute((with_column(said),), FEW).estimates[COMPACT, "all"].n == 30


def test_everybody_brings_as_many_images_and_the_order_of_rows_is_none_of_it():
    seen, new = people("seen", images=6, trained="yes"), people("new", trained="no")
    mixed = seen.take(np.random.default_rng(1).permutation(len(seen.items)))
    a, b = (membership.compute((one, new), FEW).estimates for one in (seen, mixed))
    for attack in membership.ATTACKS:
        assert a[attack, *HERE].value == pytest.approx(b[attack, *HERE].value, abs=1e-6)
    looked = membership._looked(seen, FEW)
    assert set(np.bincount(looked.labels)) == {FEW.images}


def test_a_single_data_set_without_a_column_is_refused():
    with pytest.raises(UserError, match="no two probes show different images: name a probe of"):
        membership.compute((people("p"), people("p@16")), FEW)


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match="nobody in seen in m has 5 images: give membership.images fewer"):
        membership.compute(pair(), replace(FEW, images=5))


def test_a_column_of_other_words_is_refused():
    with pytest.raises(UserError, match="says 'perhaps' of a person: it must say yes or no"):
        membership.compute((with_column(["yes", "no"] * 39 + ["perhaps", "no"]),), FEW)


def test_a_column_that_says_two_things_of_one_person_is_refused():
    one = people("all")
    both = replace(one, attributes={"trained": np.where(np.arange(len(one.items)) % 2, "yes", "no")})
    with pytest.raises(UserError, match="says yes and no of one person: say one of a person"):
        membership.compute((both,), FEW)


def test_a_column_that_says_one_thing_of_all_is_refused():
    with pytest.raises(UserError, match="says yes of 80 people and no of 0: two of each are needed"):
        membership.compute((with_column(["yes"] * 80),), FEW)
