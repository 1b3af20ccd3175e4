"""What every analysis keeps; the file finds them by itself."""

import ast
import dataclasses
import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

from embedlab import analysis
from embedlab.errors import UserError
from embedlab.study import params_of
from tests.planted import embedding_set, layer_weights

NAMES = sorted(analysis.names())


def inputs(overs):
    """Two runs' inputs for each kind of analysis, so that comparing is tried too."""
    sets = [[embedding_set(model=m, probe=p, seed=k) for p in ("p", "p@32")] for k, m in enumerate("ab")]
    weights = [layer_weights(m, seed=k) for k, m in enumerate("abc")]
    kinds = {
        "set": [(s,) for row in sets for s in row],
        "model": [tuple(row) for row in sets],
        "probe pair": [tuple(row) for row in sets],
        "degraded pair": [tuple(row) for row in sets],
        "model pair": [tuple(column) for column in zip(*sets, strict=True)],
        "models": [tuple(column) for column in zip(*sets, strict=True)],
        "weight pair": [(weights[0], weights[1]), (weights[0], weights[2])],
    }
    return [one for over in overs for one in kinds[over.word]]


@pytest.fixture(scope="module")
def ran():
    cache = {}

    def run(name):
        if name not in cache:
            found = analysis.get(name)
            cache[name] = [found.run(one, found.params) for one in inputs(found.overs)]
        return cache[name]

    return run


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_result_is_the_saved_one_and_draws(name, ran, tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = analysis.get(name)
    loaded = []
    for k, result in enumerate(ran(name)):
        folder = tmp_path / str(k)
        folder.mkdir()
        result.save(folder)
        back = found.result.load(folder)
        for field in dataclasses.fields(result):
            np.testing.assert_equal(getattr(back, field.name), getattr(result, field.name), field.name)
        loaded.append(back)
    assert [f.text for f in found.findings(loaded)] == [f.text for f in found.findings(ran(name))]
    charts = found.charts(loaded)
    assert charts
    for chart in charts:
        assert chart.title
        assert chart.plotly().data
        figure = plt.figure()
        chart.matplotlib(figure.add_subplot(projection=chart.projection))
        figure.canvas.draw()
        plt.close(figure)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name, ran):
    found = analysis.get(name)
    again = found.run(inputs(found.overs)[0], found.params)
    for field in dataclasses.fields(again):
        np.testing.assert_equal(getattr(again, field.name), getattr(ran(name)[0], field.name), field.name)


@pytest.mark.parametrize("name", NAMES)
def test_findings_are_sentences_for_one_result_and_for_several(name, ran):
    found = analysis.get(name)
    for results in (ran(name)[:1], ran(name)):
        findings = found.findings(results)
        assert findings
        for finding in findings:
            assert finding.text[0].isupper()
            assert finding.text.endswith(".")
            assert "nan" not in finding.text.lower().split()
            assert finding.tone in ("good", "bad", "plain")


def blind(result):
    """The result with replicates that are no numbers, so that no difference has an interval."""

    def unseen(value):
        if isinstance(value, analysis.Estimate):
            return dataclasses.replace(value, draws=np.full_like(value.draws, np.nan))
        if isinstance(value, dict):
            return type(value)({key: unseen(one) for key, one in value.items()})
        if isinstance(value, tuple):
            return tuple(map(unseen, value))
        return value

    values = {field.name: unseen(getattr(result, field.name)) for field in dataclasses.fields(result)}
    drawn = [name for name, value in values.items() if "replicates" in name or "draws" in name]
    for name in drawn:
        if isinstance(values[name], np.ndarray):
            values[name] = np.full_like(values[name], np.nan)
    return type(result)(**values)


@pytest.mark.parametrize("name", NAMES)
def test_where_no_difference_has_an_interval_nobody_says_that_it_may_be_chance(name, ran):
    found = analysis.get(name)
    seen = found.findings(ran(name))
    unseen = found.findings([blind(result) for result in ran(name)])
    assert len(seen) == len(unseen)
    for before, after in zip(seen, unseen, strict=True):
        if after.text != before.text:
            assert "may be chance" not in after.text
            assert "too few people to say how sure the" in after.text


@pytest.mark.parametrize("people", [2, 3, 4])
@pytest.mark.parametrize("name", [n for n in NAMES if analysis.get(n).over != "weight pair"])
def test_a_handful_of_people_is_a_result_or_a_sentence(name, people):
    """Resamples of so few often hold one person only; that must not break anything."""
    found = analysis.get(name)
    sets = tuple(embedding_set(people, probe=p, seed=k) for k, p in enumerate(("p", "p@32")))
    try:
        result = found.run(sets[:1] if found.over == "set" else sets, found.params)
    except UserError:
        return
    for finding in found.findings([result]):
        assert "nan" not in finding.text.lower().split()


@pytest.mark.parametrize("name", NAMES)
def test_headline_numbers_are_estimates_with_intervals_and_nulls(name, ran):
    estimates = [v for v in ran(name)[0].numbers().values() if isinstance(v, analysis.Estimate)]
    assert estimates
    assert any(e.null is not None for e in estimates)
    for estimate in estimates:
        assert estimate.n > 0
        if estimate.low is not None:
            assert estimate.low <= estimate.high


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_has_its_parts(name):
    found = analysis.get(name)
    assert found.question.endswith("?")
    for part in ("How to read it\n----", "Limits\n----", "References\n----", ".. [1]"):
        assert part in found.doc, part
    assert found.name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_default_and_a_docstring(name):
    for parameter, (default, text) in params_of(name).items():
        assert isinstance(default, int | float | str | bool), parameter
        assert text.endswith("."), parameter


@pytest.mark.parametrize("name", NAMES)
def test_the_three_functions_see_only_what_they_may(name):
    """Drawing and wording take results alone, and nothing but ``compute`` calls ``compute``."""
    module = importlib.import_module(analysis.names()[name])
    for function in (module.charts, module.findings):
        assert list(inspect.signature(function).parameters) == ["results"]
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef) and node.name in ("charts", "findings"):
            called = {
                n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
            }
            assert not called & {"compute", "all_pairs", "resamples"}


@pytest.mark.parametrize("name", NAMES)
def test_importing_one_loads_nothing_heavy(name):
    code = f"import sys, {analysis.names()[name]}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "sklearn", "umap", "numba", "matplotlib", "plotly", "pandas"} & set(loaded)
