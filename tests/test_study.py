import dataclasses
from dataclasses import dataclass, field

import pytest

from embedlab import analysis, question, study
from embedlab.analysis import Params
from embedlab.errors import UserError
from embedlab.study import Study


def test_a_study_reads_its_models_parameters_and_prose(tmp_path):
    (tmp_path / "gap.toml").write_text(
        'title = "The gap"\nmodels = ["a", "b"]\nprobes = ["p", "p@32"]\nanalyses = ["distances"]\n'
        "[set.distances]\nbins = 64\n"
    )
    (tmp_path / "gap.md").write_text("Why we asked.")
    found = study.read(tmp_path / "gap.toml")
    assert (found.title, found.models, found.prose) == ("The gap", ("a", "b"), "Why we asked.")
    assert found.people == 0
    (planned,) = study.plan(found)
    assert planned.params.bins == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "is not valid TOML"),
        ("title = 'x'", "no models named"),
        ("models = 'a'", "models must be a list of names"),
        ("models = ['a']\nmodel = 1", "unknown key 'model': a study has analyses, attributes, models"),
        ("models = ['a']\npairs = ['p']", 'pairs must be the path of a file, such as pairs = "pairs.csv"'),
        ("models = ['a']\nattributes = 3", "attributes must be the path of a file"),
        *(
            (f"models = ['a']\npeople = {wrong}", "people must be a whole number of people to draw")
            for wrong in ("-1", "1", "true", "2.5", "'all'")
        ),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = ['']", "models is given an empty word"),
        ("models = ['a']\nprobes = ['" + "p" * 300 + "']", "probes 'p+'… has a name of 300 bytes"),
        ("title = 0x" + "f" * 9999 + "\nmodels = ['a']", "title is a whole number beyond 64 bits"),
    ],
)
def test_words_and_numbers_that_nothing_can_bear_are_told(tmp_path, text, message):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        study.read(tmp_path / "s.toml")


def test_prose_that_is_no_text_is_told(tmp_path):
    (tmp_path / "s.toml").write_text("models = ['a']")
    (tmp_path / "s.md").write_bytes("Fähig".encode("latin-1"))
    with pytest.raises(UserError, match=r"cannot read the prose .*s.md: it is no UTF-8 .*save it as UTF-8"):
        study.read(tmp_path / "s.toml")


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
    some = study.merged(merged, people=5)
    assert (study.merged(some).people, study.merged(some, people=7).people) == (5, 7)


def test_set_words_are_read():
    assert study.parse_set(["distances.bins=4", "a.b=c=d"]) == {"distances": {"bins": "4"}, "a": {"b": "c=d"}}
    assert study.parse_set(["bins=4"], "distances") == {"distances": {"bins": "4"}}


@pytest.mark.parametrize("word", ["bins=4", "distances.bins", "=3", ".=1"])
def test_a_set_word_of_another_form_is_told(word):
    with pytest.raises(UserError, match="write it as analysis.parameter=value"):
        study.parse_set([word])


def test_a_set_word_without_its_analysis_is_told_of_some():
    with pytest.raises(UserError, match=r"such as accuracy\.far=0\.01, .*far=0\.01 and \d+ more$"):
        study.parse_set(["far=0.01"])
    with pytest.raises(UserError, match="value, such as distances.bins=4$"):
        study.parse_set(["bins=4"])


def test_a_parameter_that_is_set_twice_is_told():
    twice = ["distances.bins=4", "distances.bins=8"]
    with pytest.raises(UserError, match="--set gives distances.bins twice, as 4 and as 8: leave one out"):
        study.parse_set(twice)
    assert study.parse_set([twice[0], "bins=4"], "distances") == {"distances": {"bins": "4"}}


def test_an_unknown_analysis_is_told():
    with pytest.raises(UserError, match="unknown analysis 'nope'"):
        study.plan(Study(("a",), ("p",), ("nope",)))


def test_parameters_of_an_analysis_that_is_not_run_are_told():
    with pytest.raises(UserError, match="parameters set for 'verification', which is not run"):
        study.plan(Study(("a",), ("p",), ("distances",), {"verification": {"far": 0.1}}))


def test_without_a_list_all_analyses_are_planned_in_reading_order(monkeypatch):
    planned = [p.analysis.name for p in study.plan(Study(("a",), ("p",)))]
    assert sorted(planned) == sorted(analysis.names())
    assert planned.index("verification") < planned.index("distances") < planned.index("kernels")
    known = dict.fromkeys(("cheese", "kernels", "apples", "verification", "resolution"), "")
    monkeypatch.setattr(analysis, "names", lambda: known)
    assert study.names(Study(("a",))) == ("verification", "resolution", "kernels", "apples", "cheese")
    assert study.names(Study(("a",), analyses=("kernels", "verification"))) == ("kernels", "verification")


@dataclass(frozen=True)
class Judging(Params):
    pairs: str = field(default="", metadata={"pairs": True})
    """Which file."""


@pytest.fixture
def judging(monkeypatch):
    """Accuracy takes a file of pairs; resolution wants two probes of its own."""
    real = analysis.get

    def get(name):
        changes = {
            "accuracy": {"params": Judging()},
            "distances": {"probes": lambda params, probes: (*probes, f"{probes[0]}@8", probes[0])},
        }
        return dataclasses.replace(real(name), **changes.get(name, {}))

    monkeypatch.setattr(analysis, "get", get)


def test_pairs_are_a_parameter_of_accuracy(judging, tmp_path):
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text("")
    a, b, c = (str(tmp_path / name) for name in ("a.csv", "b.csv", "c.csv"))

    def chosen(asked):
        return next(p.params.pairs for p in study.plan(asked) if p.analysis.name == "accuracy")

    given = Study(("m",), ("p",), overrides={"accuracy": {"pairs": a}})
    assert chosen(given) == a
    assert chosen(study.merged(given, pairs=b)) == b
    assert chosen(study.merged(given, pairs=b, overrides={"accuracy": {"pairs": c}})) == c
    assert chosen(study.merged(Study(("m",), pairs=a))) == a


def test_pairs_that_nobody_judges_are_told(judging):
    with pytest.raises(UserError, match="the pairs of x.csv are for accuracy, which is not run"):
        study.plan(Study(("a",), ("p",), ("distances",), pairs="x.csv"))


def test_a_file_that_is_not_there_is_told_before_the_work(judging):
    with pytest.raises(UserError, match="cannot read gone.csv"):
        study.plan(Study(("a",), ("p",), ("accuracy",), pairs="gone.csv"))


def test_an_analysis_gets_the_probes_it_asks_for_and_others_do_not(judging):
    asked = Study(("a",), ("p", "q"), ("distances", "projection"))
    planned = study.plan(asked)
    assert [one.probe for one in planned[0].runs[0]] == ["p", "q", "p@8"]
    assert [one.probe for one in planned[1].runs[0]] == ["p", "q"]
    assert study.probes_of(planned, asked) == ("p", "q", "p@8")


def test_without_a_probe_nothing_further_is_asked(judging):
    assert study.probes_of(study.plan(Study(("a",), analyses=("distances",))), Study(("a",))) == ()


def test_a_study_names_its_pairs_and_attributes(tmp_path):
    (tmp_path / "s.toml").write_text("models = ['a']\npairs = 'p.csv'\nattributes = 'a.csv'")
    found = study.read(tmp_path / "s.toml")
    assert (found.pairs, found.attributes) == ("p.csv", "a.csv")
    assert study.merged(found, attributes="b.csv").attributes == "b.csv"
    assert study.merged(found).attributes == "a.csv"


def test_an_analysis_may_take_pairs_of_two_kinds(monkeypatch):
    both = dataclasses.replace(analysis.get("resolution"), over=("degraded pair", "model pair"), probes=None)
    monkeypatch.setattr(study.contract, "get", lambda name: both)
    (planned,) = study.plan(Study(("a", "b"), ("p", "p@32"), ("resolution",)))
    titles = [" | ".join(one.title for one in run) for run in planned.runs]
    assert titles == [
        "p in a | p@32 in a",
        "p in b | p@32 in b",
        "p in a | p in b",
        "p@32 in a | p@32 in b",
    ]


SAID = """
models = ["a", "b"]
[[statement]]
text = "It was so."
question = "places"
verdict = "yes"
models = ["a"]
"""


def test_what_was_said_is_read(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(SAID)
    assert study.read(path).statements == (study.Statement("It was so.", "places", "yes", ("a",)),)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[statement]]", "[statement]", "a table each"),
        ('verdict = "yes"', 'verdict = "open"', "verdict must be yes or no"),
        ('question = "places"', 'question = "place"', "no question 'place': there are"),
        ('text = "It was so."', "text = 3", "text a sentence"),
        ('text = "It was so."', "", "text a sentence"),
        ('verdict = "yes"\nmodels = ["a"]', 'verdict = "yes"\nmodels = "a"', "models must be a list"),
        ('verdict = "yes"', 'verdict = "yes"\nwhy = "x"', "unknown key 'why'"),
    ],
)
def test_what_was_said_wrongly_is_told_in_a_line(tmp_path, old, new, said):
    path = tmp_path / "s.toml"
    path.write_text(SAID.replace(old, new))
    with pytest.raises(UserError, match=said):
        study.read(path)


def test_an_analysis_and_a_question_of_one_name_each_take_what_is_theirs():
    """``groups`` is both."""
    given = {"groups": {"far": "0.01", "times": "2"}}
    (planned,) = study.asked(study.Study(("a",), analyses=("groups",), overrides=given))
    assert planned.params.far == 0.01
    assert question.params_of("groups", given).times == 2
    both = "unknown parameter groups.nope: there are .*far.*times|unknown parameter groups.nope: .*times.*far"
    with pytest.raises(UserError, match=both):
        study.asked(study.Study(("a",), analyses=("groups",), overrides={"groups": {"nope": "1"}}))
    with pytest.raises(UserError, match="groups.far"):
        study.asked(study.Study(("a",), analyses=("groups",), overrides={"groups": {"far": "x"}}))
