"""What every analysis keeps; the file finds them by itself."""

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedlab import analysis
from embedlab.charts import Histogram
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.study import params_of
from embedlab.training.recipe import Recipe
from tests.planted import embedding_set, grouped, layer_weights
from tests.planted_live import Planted

NAMES = sorted(analysis.names())
# All tests of one analysis follow each other, so that one worker makes its results and no other does.
each = pytest.mark.parametrize("name", NAMES, scope="module")
PROBES = ("p", "p@32")


def trained_on_some(a):
    """The set with a column that tells half of the people trained on, which is theirs whoever groups them."""
    return grouped(a, ("yes", "yes", "no", "no"), "trained")


def inputs(overs):
    """Two runs' inputs for each kind of analysis, so that comparing is tried too."""
    sets = [
        [
            trained_on_some(grouped(embedding_set(model=m, probe=p, seed=10 * j + k, noise=0.5 + 0.2 * j)))
            for j, p in enumerate(PROBES)
        ]
        for k, m in enumerate("ab")
    ]
    return cases_of(overs, sets)


def cases_of(overs, sets):
    """What each kind of analysis runs on, of sets in rows by model and columns by probe; and weights."""
    weights = [layer_weights(m, seed=k) for k, m in enumerate("abc")]
    kinds = {
        "set": [(s,) for row in sets for s in row],
        "model": [tuple(row) for row in sets],
        "probe pair": [tuple(row) for row in sets],
        "degraded pair": [tuple(row) for row in sets],
        "model pair": [tuple(column) for column in zip(*sets, strict=True)],
        "models": [
            tuple(embedding_set(model=m, probe=p, seed=k) for k, m in enumerate("abc")) for p in ("p", "p@32")
        ],
        "weights": [(one,) for one in weights],
        "weight pair": [(weights[0], weights[1]), (weights[0], weights[2])],
        "network pair": [tuple(Planted(s, k) for k, s in enumerate(c)) for c in zip(*sets, strict=True)],
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


@each
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


def roles_of(chart):
    """What a chart's series are called, and their roles."""
    if isinstance(chart, Histogram):
        return [(name, chart.roles.get(name)) for name in chart.series]
    series = getattr(chart, "series", ()) or getattr(chart, "curves", ())
    return [(one.name, one.role) for one in series]


@each
def test_a_series_that_is_called_by_its_role_has_it(name, ran):
    words = {
        "null": r"\(null\)|^null|, null$|by chance|unrelated",
        "impostor": r"two people$|different people",
        "genuine": "of one person",
        "same image": "^(same|one) image",
    }
    for chart in analysis.get(name).charts(ran(name)):
        for series, role in roles_of(chart):
            for meant, word in words.items():
                assert not re.search(word, series) or role == meant, (chart.title, series, role)


@each
def test_the_same_seed_gives_the_same_bits(name, ran):
    found = analysis.get(name)
    again = found.run(inputs(found.overs)[0], found.params)
    for field in dataclasses.fields(again):
        np.testing.assert_equal(getattr(again, field.name), getattr(ran(name)[0], field.name), field.name)


@each
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


LONGEST = {
    "confusions": 31,
    "geometry": 43,
    "mapping": 63,
    "neighbours": 39,
    "similarity": 39,
}
"""Words of an analysis's longest sentence, where it has more than 30: it may only fall."""


def words(text):
    """How many words a sentence has; an interval is none."""
    return len([w for w in re.sub(r"\[[^\]]*\]", "", text).split() if re.search(r"\w", w)])


def misnumbered(text):
    """One of what is said of several: "1 probes"."""
    after = re.findall(r"(?<![\w.,@×-])1 (\w+)", text)
    plural = re.compile(r"people|\w{2,}[^s]s")
    return [one for one in after if plural.fullmatch(one) and one not in VERBS]


VERBS = {"was", "has", "does", "its", "this"}


@each
def test_a_finding_is_one_short_sentence_that_repeats_no_other(name, ran):
    for results in (ran(name)[:1], ran(name)):
        said = [one.text for one in analysis.get(name).findings(results)]
        longest = max(said, key=words)
        assert words(longest) <= LONGEST.get(name, 30), longest
        assert len(set(said)) == len(said), said
        assert not [text for text in said if misnumbered(text)]


@each
def test_a_finding_that_claims_holds_both_its_wordings(name, ran):
    for one in analysis.get(name).findings(ran(name)):
        if one.p is not None:
            assert one.text in (one.claim[0], one.otherwise)
            assert one.otherwise.endswith(".")
            assert one.least_p <= one.p


COMPARING = re.compile(
    r"\b(more|less|fewer|most|least|better|worse|best|worst|nearer|closer|closest|farther|furthest|further|higher|"
    r"highest|lower|lowest|larger|smaller|beyond|alike|differs?|the same within|rather|share a direction|"
    r"crowd round)\b"
)
LEFT_OPEN = re.compile(r"\b(no|not|nobody|cannot|none|nothing|too few|so few|may be)\b", re.IGNORECASE)
NOT_COMPARED = {
    "confusions": "of images lie nearer another's",  # What is counted of images, without a rival.
    "layers": "The nearest are",  # Picked to be named, and not said to differ from the next.
    "projection": "keeps the most",
}


def claimed_without_p(name, finding):
    """Whether a finding is toned, or says a difference, and has no p to be decided by among all."""
    if finding.p is not None:
        return False
    told = COMPARING.search(finding.text) and not LEFT_OPEN.search(finding.text)
    return finding.tone != "plain" or bool(told and NOT_COMPARED.get(name, "\0") not in finding.text)


@each
def test_whatever_is_toned_or_says_a_difference_has_a_p(name, ran):
    """So that none stands outside the correction for many: of one result, of some, and of many."""
    for results in (ran(name)[:1], ran(name), ran(name) * 3):
        outside = [f.text for f in analysis.get(name).findings(results) if claimed_without_p(name, f)]
        assert not outside


@pytest.mark.parametrize(
    ("text", "tone", "p", "outside"),
    [
        ("On p, a is more even than b.", "plain", None, True),
        ("On p, a holds 3 images.", "bad", None, True),
        ("On p, a is more even than b.", "plain", 0.01, False),
        ("On p, a is not shown to be more even than b.", "plain", None, False),
        ("On p, a has 3 images.", "plain", None, False),
    ],
)
def test_a_claim_outside_the_correction_is_seen(text, tone, p, outside):
    assert claimed_without_p("", analysis.Finding(text, tone, p=p)) is outside


def nothing(model, kind, probe, seed=0):
    """Vectors that tell nobody from anybody: one and the same, or noise."""
    rng = np.random.default_rng([len(kind), seed])
    vectors = rng.normal(size=(60, 12)) if kind == "noise" else np.ones((60, 12))
    labels = np.repeat(np.arange(12), 5)
    return EmbeddingSet.from_rows(
        model, probe, vectors, [f"i{k:02d}" for k in range(60)], [f"person{k:02d}" for k in labels]
    )


NO_GOOD = [n for n in NAMES if analysis.get(n).looks_at("set")]


@pytest.mark.parametrize("name", NO_GOOD)
def test_of_vectors_that_hold_nothing_nothing_good_is_said(name):
    found = analysis.get(name)
    sets = [[nothing(k, k, p, seed) for seed, p in enumerate(PROBES)] for k in ("constant", "noise")]
    results = []
    for one in cases_of(found.overs, sets):
        try:
            results.append(found.run(one, found.params))
        except UserError:
            continue
    for some in ([one] for one in results) if len(results) < 2 else (results, *([one] for one in results)):
        assert not [one.text for one in found.findings(some) if one.tone == "good"]


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

    return type(result)(**{f.name: unseen(getattr(result, f.name)) for f in dataclasses.fields(result)})


@each
def test_where_no_difference_has_an_interval_nobody_says_that_it_may_be_chance(name, ran):
    found = analysis.get(name)
    seen = found.findings(ran(name))
    unseen = found.findings([blind(result) for result in ran(name)])
    assert len(seen) <= len(unseen)
    for one in {finding.text for finding in unseen} - {finding.text for finding in seen}:
        assert "may be chance" not in one
        assert "too few people to say how sure the" in one


SOURCES = {
    name: ast.parse(inspect.getsource(importlib.import_module(module)))
    for name, module in analysis.builtin().items()
}


def own_draws(tree):
    """Ways past ``People``, and past the difference of two estimates, to an interval."""
    ways = {"interval", "bca_interval", "share_interval", "population"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "embedlab.maths.people.bootstrap":
            yield from (alias.name for alias in node.names if alias.name in ways)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "bootstrap":
            yield from {node.attr} & ways


def texts(tree):
    """All text, an f-string as one with its values left out."""
    parts = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inner = {id(part) for whole in parts for part in whole.values}
    for whole in parts:
        yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in whole.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def own_tones(tree):
    """Findings that are toned without a p, past ``claim``, ``compared`` and ``judged``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Finding", "analysis.Finding"):
            toned = node.args[1:] + [one.value for one in node.keywords if one.arg == "tone"]
            yield from (ast.unparse(one) for one in toned if ast.unparse(one) != "'plain'")


def own_hedges(tree):
    """Sentences that leave it open whether there is a difference."""
    hedge = re.compile(r"(may|might|could) (be|differ from that by) chance|perhaps (by )?chance")
    return (text for text in texts(tree) if hedge.search(text))


def own_excuses(tree):
    """Sentences that say why a difference has no interval."""
    excuse = re.compile(r"measured on different|, on different (people|images)|people, so no interval")
    return (text for text in texts(tree) if excuse.search(text))


def sentences_as_keys(tree):
    """F-strings by which something is kept or found."""
    for node in ast.walk(tree):
        keys = []
        if isinstance(node, ast.Dict):
            keys = node.keys
        elif isinstance(node, ast.DictComp):
            keys = [node.key]
        elif isinstance(node, ast.Subscript):
            keys = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keys = node.args if node.func.attr in ("at", "get", "places", "pop", "row", "setdefault") else []
        for key in keys:
            parts = [key, *key.elts] if isinstance(key, ast.Tuple) else [key]
            yield from (ast.unparse(part) for part in parts if isinstance(part, ast.JoinedStr))


RULES = (own_draws, own_tones, own_hedges, own_excuses, sentences_as_keys)
ALLOWED = {
    # An estimate against its null, by its own interval or p: nothing is compared.
    (own_hedges, "drift"): 1,
    (own_hedges, "verification"): 1,
    # Of one image that can be looked at, or two that are one: what is seen needs no p.
    (own_tones, "audit"): 3,
    # The name of a field, and of a series in a chart.
    (sentences_as_keys, "neighbours"): 1,
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("rule", RULES)
def test_differences_are_drawn_judged_and_kept_by_estimates_alone(rule, name):
    found = list(rule(SOURCES[name]))
    allowed = ALLOWED.get((rule, name), 0)
    assert len(found) <= allowed, found
    assert len(found) == allowed, "fewer than are allowed: lower the number"


@pytest.mark.parametrize(
    ("rule", "source", "count"),
    [
        (own_draws, "from embedlab.maths.people.bootstrap import interval, resamples", 1),
        (own_draws, "from embedlab.maths import bootstrap\nbootstrap.share_interval(x - y, 3)", 1),
        (own_draws, "from embedlab.maths.people.bootstrap import weighted_mean\nparams.interval", 0),
        (own_tones, "Finding(text, 'bad')", 1),
        (own_tones, "Finding(text, tone=tone, gap=gap)", 1),
        (own_tones, "Finding(text, gap=gap)\nclaim(text, other, p, tone='bad')", 0),
        (own_hedges, "f'{a}: the difference ' f'of {b} may be chance.'", 1),
        (own_hedges, "', which may ' 'differ from that by chance alone'", 1),
        (own_hedges, "f'above {null:.1%} by chance'", 0),
        (own_excuses, "f'{a}, measured on different images.'", 1),
        (own_excuses, "'distances of different people'", 0),
        (sentences_as_keys, "found[f'{what}, {probe}']", 1),
        (sentences_as_keys, "found[what, f'{a} × {b}'] = {f'p of {what}': 1.0}", 2),
        (sentences_as_keys, "found.get(f'{what}, {probe}')\n{f'{k}': v for k, v in more}", 2),
        (sentences_as_keys, "found[what, probe] = f'{what}'", 0),
    ],
)
def test_the_rules_of_differences_see_what_they_forbid(rule, source, count):
    assert len(list(rule(ast.parse(source)))) == count


def test_nothing_but_estimates_says_that_two_were_measured_on_different_people():
    house = Path(analysis.__file__).parent
    said = {path.name for path in house.rglob("*.py") if "measured on different" in path.read_text("utf-8")}
    assert said == {"estimates.py"}


def test_nothing_but_estimates_gives_a_difference_its_interval():
    given = []
    for path in Path(analysis.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("interval"):
                less = [a for a in node.args if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Sub)]
                given += [f"{path.name}:{node.lineno}"] if less else []
    assert not given


@pytest.mark.parametrize("name", analysis.builtin())
def test_estimates_are_kept_with_their_draws_by_what_and_where(name):
    """No result keeps replicates beside its estimates, names their draw, or labels them by a sentence."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(analysis.get(name).result)}
    apart = [one for one in fields if re.search(r"replicates|_draws$|population", one)]
    apart += [one for one, kind in fields.items() if re.search(r"Mapping\[str, .*Estimate", kind)]
    assert not apart


@pytest.mark.parametrize("people", [2, 3, 4])
@pytest.mark.parametrize("name", [n for n in NAMES if analysis.get(n).looks_at("set")])
def test_a_handful_of_people_is_a_result_or_a_sentence(name, people):
    """Resamples of so few often hold one person only: nothing may break, nor be claimed."""
    found = analysis.get(name)
    sets = tuple(embedding_set(people, probe=p, seed=k) for k, p in enumerate(("p", "p@32")))
    try:
        result = found.run(sets[:1] if found.over == "set" else sets, found.params)
    except UserError:
        return
    for finding in found.findings([result]):
        assert "nan" not in finding.text.lower().split()
        assert not finding.claimed
        assert finding.tone != "good", finding.text


@each
def test_headline_numbers_are_estimates_with_intervals_and_nulls(name, ran):
    estimates = [v for v in ran(name)[0].numbers().values() if isinstance(v, analysis.Estimate)]
    assert estimates
    assert any(e.null is not None for e in estimates)
    for estimate in estimates:
        assert estimate.n > 0
        if estimate.low is not None:
            assert estimate.low <= estimate.high


@each
def test_the_docstring_has_its_parts(name):
    found = analysis.get(name)
    assert found.question.endswith("?")
    for part in ("How to read it\n----", "Limits\n----", "References\n----", ".. [1]"):
        assert part in found.doc, part
    assert found.name == name
    for listed in (part for part in found.doc.split("\n\n") if part.startswith("- ")):
        # What goes on without an indent is no part of the list where the report draws it.
        assert all(line.startswith(("- ", "  ")) for line in listed.strip().splitlines()), listed


@each
def test_every_parameter_has_a_default_and_a_docstring(name):
    for parameter, (default, text) in params_of(name).items():
        assert isinstance(default, int | float | str | bool), parameter
        assert text.endswith("."), parameter


PARAMS = {name: analysis.get(name).params for name in NAMES} | {"recipe": Recipe()}


def numbers():
    """Every number that an analysis or a recipe takes: whose it is, and how it is declared."""
    for name, params in PARAMS.items():
        for one in dataclasses.fields(params):
            if type(one.default) in (int, float):
                yield pytest.param(name, one, id=f"{name}.{one.name}")


def beyond():
    """For each bound of each number, a value just beyond it."""
    for number in numbers():
        name, one = number.values
        for word, bound in analysis.bounds_of(one).items():
            step = {"least": -1, "most": 1}.get(word, 0)
            step = step if isinstance(one.default, int) else step * 1e-6
            yield pytest.param(name, one, type(one.default)(bound + step), id=f"{number.id}-{word}")


@pytest.mark.parametrize(("name", "one"), [*numbers()])
def test_every_number_is_declared_with_a_lower_bound_and_takes_the_values_at_its_bounds(name, one):
    bounds = analysis.bounds_of(one)
    assert {"least", "above"} & set(bounds)
    for word in {"least", "most"} & set(bounds):
        changed = PARAMS[name].with_overrides({one.name: bounds[word]})
        assert getattr(changed, one.name) == bounds[word]


@pytest.mark.parametrize(("name", "one", "value"), [*beyond()])
def test_a_value_beyond_its_bounds_is_refused_before_anything_is_computed(name, one, value):
    message = f"^{name}.{one.name} must be {analysis.in_words(one)}, not {value}$"
    with pytest.raises(UserError, match=message):
        PARAMS[name].with_overrides({one.name: str(value)}, where=f"{name}.")
    with pytest.raises(UserError, match=message):
        type(PARAMS[name])(**{one.name: value})


@each
def test_at_the_lowest_values_that_are_allowed_there_is_a_result_or_a_sentence(name):
    found = analysis.get(name)
    bounds = {one.name: analysis.bounds_of(one) for one in dataclasses.fields(found.params)}
    params = found.params.with_overrides({key: of["least"] for key, of in bounds.items() if "least" in of})
    try:
        result = found.run(inputs(found.overs)[0], params)
    except UserError:
        return
    assert found.findings([result])
    assert found.charts([result])


@each
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


def test_importing_them_loads_nothing_heavy():
    """All in one process: what none of them loads, no single one does."""
    heavy = {"torch", "sklearn", "umap", "numba", "matplotlib", "plotly", "pandas"}
    code = (
        "import importlib, sys\n"
        f"for name in {list(analysis.names().values())}:\n"
        f"    importlib.import_module(name)\n"
        f"    if heavy := {heavy} & set(sys.modules): sys.exit(f'{{name}} loads {{heavy}}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
