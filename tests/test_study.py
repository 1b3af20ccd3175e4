import pytest

from embedlab import analysis, study
from embedlab.errors import UserError
from embedlab.study import Input, Study


def test_a_study_reads_its_models_parameters_and_prose(tmp_path):
    (tmp_path / "gap.toml").write_text(
        'title = "The gap"\nmodels = ["a", "b"]\nprobes = ["p", "p@32"]\nanalyses = ["distances"]\n'
        "[set.distances]\nbins = 64\n"
    )
    (tmp_path / "gap.md").write_text("Why we asked.")
    found = study.read(tmp_path / "gap.toml")
    assert (found.title, found.models, found.prose) == ("The gap", ("a", "b"), "Why we asked.")
    (planned,) = study.plan(found)
    assert planned.params.bins == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "is not valid TOML"),
        ("title = 'x'", "no models named"),
        ("models = 'a'", "models must be a list of names"),
        ("models = ['a']\nmodel = 1", "unknown key 'model': a study has analyses, models"),
        ("models = ['a']\n[set]\nbins = 3", "parameters stand in a table each"),
    ],
)
def test_a_wrong_study_file_is_told(tmp_path, text, message):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        study.read(tmp_path / "s.toml")


def test_a_missing_study_file_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot read the study"):
        study.read(tmp_path / "no.toml")


def test_words_override_the_file():
    merged = study.merged(
        Study(("a",), ("p",), overrides={"distances": {"bins": 64, "seed": 1}}),
        probes=["q"],
        analyses=["distances"],
        overrides={"distances": {"bins": "32"}},
    )
    assert merged.probes == ("q",)
    assert merged.overrides == {"distances": {"bins": "32", "seed": 1}}
    assert study.merged(merged).probes == ("q",)


def test_set_words_are_read():
    assert study.parse_set(["distances.bins=4", "a.b=c=d"]) == {"distances": {"bins": "4"}, "a": {"b": "c=d"}}
    assert study.parse_set(["bins=4"], "distances") == {"distances": {"bins": "4"}}


@pytest.mark.parametrize("word", ["bins=4", "distances.bins", "=3", ".=1"])
def test_a_set_word_of_another_form_is_told(word):
    with pytest.raises(UserError, match="write it as analysis.parameter=value"):
        study.parse_set([word])


def test_an_unknown_analysis_is_told():
    with pytest.raises(UserError, match="unknown analysis 'nope'"):
        study.plan(Study(("a",), ("p",), ("nope",)))


def test_parameters_of_an_analysis_that_is_not_run_are_told():
    with pytest.raises(UserError, match="parameters set for 'verification', which is not run"):
        study.plan(Study(("a",), ("p",), ("distances",), {"verification": {"far": 0.1}}))


def test_without_a_list_all_analyses_are_planned():
    assert [p.analysis.name for p in study.plan(Study(("a",), ("p",)))] == list(analysis.names())


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ("set", [("ap",), ("aq",), ("bp",), ("bq",)]),
        ("model", [("ap", "aq"), ("bp", "bq")]),
        ("probe pair", [("ap", "aq"), ("bp", "bq")]),
        ("model pair", [("ap", "bp"), ("aq", "bq")]),
        ("models", [("ap", "bp"), ("aq", "bq")]),
        ("weight pair", [("a", "b")]),
    ],
)
def test_runs_follow_from_what_an_analysis_is_over(over, expected):
    runs = study._runs(over, Study(("a", "b"), ("p", "q")))
    assert [tuple(one.model + one.probe for one in run) for run in runs] == expected


def test_inputs_are_named_in_words():
    assert Input("set", "m", "p@32").title == "p@32 in m"
    assert Input("weights", "m").title == "weights of m"
