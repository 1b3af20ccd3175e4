"""Of many models all are measured, the best are looked into, and pairs do not grow with the square."""

import dataclasses

import numpy as np
import pytest

from embedlab import analysis, focus, runner
from embedlab.analyses.verification import Verification
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from embedlab.operating import tar_at
from embedlab.study import Planned, Study, plan
from tests.planted import embedding_set
from tests.questions.planted import bare, by_key

MODELS = tuple(f"m{k:02}" for k in range(30))
PROBES = ("faces", "faces@32", "faces@8")


def verified(tars, probe="faces"):
    return [
        bare(
            Verification,
            model=model,
            probe=probe,
            templates=False,
            far=0.001,
            levels=np.array([0.001]),
            estimates=by_key({(tar_at(0.001),): tar}),
        )
        for model, tar in tars.items()
    ]


def test_the_best_are_those_of_highest_tar_on_images_as_they_are():
    tars = {model: k / 100 for k, model in enumerate(MODELS)}
    told = [*verified({m: 1 - t for m, t in tars.items()}, "faces@8"), *verified(tars)]
    assert focus.best(told, MODELS) == MODELS[:-7:-1]
    assert focus.best(told[:0], MODELS) == MODELS[:6], "without figures those that were named first"
    assert focus.best(verified({MODELS[9]: 0.1}), MODELS)[0] == MODELS[9]
    other = verified({m: 1 - t for m, t in tars.items()}, "others")
    assert focus.best([*verified(tars), *other], MODELS) == MODELS[:-7:-1], "the first of two sets ranks"
    means = verified({m: 1 - t for m, t in tars.items()})
    for one in means:
        object.__setattr__(one, "templates", True)
    assert focus.best([*verified(tars), *means], MODELS) == MODELS[:-7:-1], "templates rank nobody"


@pytest.mark.parametrize("name", sorted(analysis.builtin()))
def test_runs_beyond_what_ranks_and_groups_do_not_grow_with_the_models(name):
    chosen = MODELS[3:9]

    def runs(models):
        planned = Planned(analysis.get(name), analysis.get(name).params).on(Study(models, PROBES))
        return focus.narrowed(planned, chosen, PROBES).runs

    few, many = runs(MODELS[:12]), runs(MODELS)
    if name in focus.MEASURED:
        assert {one.model for run in many for one in run} == set(MODELS)
        return
    assert few == many
    assert many, "nothing is left"
    assert {one.model for run in many for one in run} <= set(chosen)
    pairs = [run for run in many if len({one.model for one in run}) == 2]
    assert all(chosen[0] in {one.model for one in run} for run in pairs)
    assert all(one.probe in ("", "faces") for run in pairs for one in run)
    assert len(pairs) <= 5


def test_a_study_of_many_models_says_what_it_leaves_out(tmp_path):
    lab, models = Lab(tmp_path), MODELS[:8]
    for k, model in enumerate(models):
        path = lab.embeddings_file(model, "faces")
        path.parent.mkdir(parents=True)
        # The later a model, the less noise it has.
        embeddings.write(path, embedding_set(noise=1.8 - k / 5, model=model, probe="faces"), {})
    study = Study(models, ("faces",), ("verification", "geometry", "mapping"))
    every = [dataclasses.replace(one, params=_quick(one.params)) for one in plan(study)]
    ranked, single, pairs = runner.outcomes(lab, study, every)
    assert len(ranked.results) == 8
    assert ranked.focus[0] in models[-3:]
    assert "m00" not in ranked.focus
    assert len(ranked.shown.results) == 6
    assert {run.models[0] for run in single.runs} == set(ranked.focus)
    assert single.caution.startswith("Of 8 models the 6 best are looked into: ")
    assert len(pairs.runs) == 5
    assert f"Of 28 pairs, {ranked.focus[0]} is held against each other of these" in pairs.caution


def test_few_models_are_all_looked_into(tmp_path):
    study = Study(MODELS[:6], ("faces",), ("mapping",))
    (planned,) = plan(study)
    (found,) = runner.outcomes(Lab(tmp_path), study, quiet=True)
    assert len(found.runs) == len(planned.runs) == 15
    assert (found.focus, found.caution) == ((), "")
    assert found.shown is found


def _quick(params):
    return dataclasses.replace(params, resamples=20)
