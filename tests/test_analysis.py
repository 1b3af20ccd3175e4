import dataclasses
import hashlib
import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
from jaxtyping import Float

from embedlab import analysis
from embedlab.analysis import Estimate, Params, Result, bounded
from embedlab.errors import UserError
from embedlab.estimates import Place, judged


@dataclass(frozen=True)
class Knobs(Params):
    bins: int = 3
    """How many."""
    rate: float = 0.5
    """How much."""
    kind: Literal["a", "b"] = "a"
    """Which."""
    open: bool = False
    """Whether."""
    name: str = "x"
    """What."""


@dataclass(frozen=True)
class Found(Result):
    n: int
    share: Estimate
    each: Mapping[str | Place, Estimate | float]
    names: tuple[str, ...]
    values: Float[np.ndarray, " k"]
    words: np.ndarray


FOUND = Found(
    "t",
    3,
    Estimate(0.5, 0.4, 0.6, 10, 0.1),
    {"at <1>": Estimate(0.2), ("p of d′", "p", "p@8"): 0.03},
    ("a", "é"),
    np.array([1.0, np.nan]),
    np.array(["x", "yy"]),
)


def test_overrides_read_text_as_the_fields_type():
    changed = Knobs().with_overrides({"bins": "7", "rate": "1e-3", "kind": "b", "open": "true", "name": "y"})
    assert changed == Knobs(7, 0.001, "b", True, "y")
    assert Knobs().with_overrides({"rate": 1}).rate == 1.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"bin": 3}, "unknown parameter knobs.bin: there are bins, rate, kind, open, name"),
        ({"bins": "many"}, "knobs.bins must be int, not 'many'"),
        ({"rate": "nan"}, "knobs.rate must be a finite number, not nan"),
        ({"rate": float("inf")}, "knobs.rate must be a finite number, not inf"),
        ({"bins": 2.5}, "knobs.bins must be int, not 2.5"),
        ({"bins": True}, "knobs.bins must be int, not True"),
        ({"kind": "c"}, "knobs.kind must be one of 'a', 'b', not 'c'"),
        ({"open": "maybe"}, "knobs.open must be bool"),
        ({"bins": 10**4400}, "knobs.bins must be a whole number of at most 64 bits"),
        ({"bins": "1" * 300}, "knobs.bins must be a whole number of at most 64 bits"),
        ({"rate": 2**2000}, "knobs.rate must be a whole number of at most 64 bits"),
    ],
)
def test_a_wrong_override_lists_what_there_is(override, message):
    with pytest.raises(UserError, match=message):
        Knobs().with_overrides(override, where="knobs.")


@dataclass(frozen=True)
class Held(Params):
    bins: int = bounded(8, least=4, most=4096)
    """How many."""
    share: float = bounded(0.5, above=0, below=1)
    """How much."""


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bins", 3, "bins must be at least 4 and at most 4096, not 3"),
        ("bins", 4097, "bins must be at least 4 and at most 4096, not 4097"),
        ("share", 0.0, "share must be above 0 and below 1, not 0.0"),
        ("share", 1.0, "share must be above 0 and below 1, not 1.0"),
    ],
)
def test_no_value_beyond_its_bounds_comes_to_be(name, value, message):
    with pytest.raises(UserError, match=f"^knobs.{message}$"):
        Held().with_overrides({name: str(value)}, where="knobs.")
    with pytest.raises(UserError, match=f"^test_analysis.{message}$"):
        Held(**{name: value})
    with pytest.raises(UserError, match=f"^test_analysis.{message}$"):
        dataclasses.replace(Held(), **{name: value})


def test_what_is_no_number_is_within_no_bounds():
    with pytest.raises(UserError, match="share must be above 0 and below 1, not nan"):
        Held(share=float("nan"))


def test_bounds_belong_to_the_values_they_allow():
    assert Held(bins=4).with_overrides({"bins": 4096}).bins == 4096


def test_a_saved_result_loads_equal(tmp_path):
    FOUND.save(tmp_path)
    back = Found.load(tmp_path)
    assert (back.n, back.share, back.each, back.names) == (3, FOUND.share, FOUND.each, ("a", "é"))
    np.testing.assert_array_equal(back.values, FOUND.values)
    assert back.words.tolist() == ["x", "yy"]


def test_numbers_are_listed_by_label():
    assert FOUND.numbers() == {
        "n": 3,
        "share": FOUND.share,
        "at <1>": Estimate(0.2),
        "p of d′, p × p@8": 0.03,
    }


def test_a_result_with_a_wrong_array_is_refused():
    with pytest.raises(TypeError, match="Found.values is int64"):
        Found("t", 1, Estimate(1), {}, (), np.array([1]), np.array([]))


def test_an_estimate_prints_with_its_interval():
    assert f"{FOUND.share:.1%}" == "50.0% [40.0%, 60.0%]"
    assert f"{Estimate(0.25)}" == "0.250"


def test_an_unknown_analysis_lists_what_there_is():
    with pytest.raises(
        UserError, match="unknown analysis 'distance': there are accuracy, audit, barrier, calibration"
    ):
        analysis.get("distance")


def test_our_own_analyses_are_found_without_a_look_at_what_is_installed(monkeypatch):
    monkeypatch.setattr(analysis.plugins, "points", lambda group: pytest.fail("every package was looked at"))
    assert {name: analysis.get(name).name for name in analysis.builtin()} == {
        name: name for name in analysis.builtin()
    }


def test_keys_change_with_code_params_and_inputs():
    one = analysis.get("distances")
    same = one.key(one.params, ["a"])
    assert same == one.key(one.params, ["a"])
    assert same != one.key(one.params.with_overrides({"bins": 8}), ["a"])
    assert same != one.key(one.params, ["b"])
    assert same != analysis.get("projection").key(one.params, ["a"])


def test_the_code_is_that_of_all_that_an_analysis_declares(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "tiltpack/__init__.py": "",
        "tiltpack/knobs.py": (
            "from dataclasses import dataclass\nfrom embedlab.analysis import Params, Result\n"
            "@dataclass(frozen=True)\nclass Knobs(Params):\n    bins: int = 3\n"
        ),
        "tiltpack/found.py": (
            "from dataclasses import dataclass\nfrom embedlab.analysis import Result\n"
            "@dataclass(frozen=True)\nclass Found(Result):\n    n: int = 0\n"
        ),
        "tiltpack/work.py": "def compute(a, params):\n    ...\n",
        "tiltpack/other.py": "",
    }
    (tmp_path / "tiltpack").mkdir()

    def key(changed=""):
        for name, text in files.items():
            (tmp_path / name).write_text(text + ("# changed\n" if name == changed else ""))
        for name in [name for name in sys.modules if name.partition(".")[0] == "tiltpack"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        knobs, found, work = (importlib.import_module(f"tiltpack.{n}") for n in ("knobs", "found", "work"))
        return analysis.Analysis("?", "set", knobs.Knobs(), found.Found, work.compute, list, list).key(
            knobs.Knobs(), ["x"]
        )

    whole = key()
    assert {name for name in files if key(name) != whole} == set(files) - {"tiltpack/other.py"}
    assert key() == whole


@pytest.mark.parametrize(
    ("made", "deeper"),
    [
        ("tiltaid.timed(tiltlib.base)", "tiltlib"),
        ("functools.partial(tiltlib.base, factor=5)", "tiltlib"),
        ("tiltaid.make(5)", "tiltaid"),
    ],
)
def test_a_function_that_is_wrapped_counts_by_who_declares_it_and_who_wrote_it(
    made, deeper, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "tiltlib": "def base(a, params, factor=1):\n    ...\n",
        "tiltaid": "def timed(f):\n    return lambda *a: f(*a)\ndef make(k):\n    return lambda a, p: k\n",
        "tiltown": "import functools, tiltaid, tiltlib\nfrom embedlab.analysis import *\n"
        f"ANALYSIS = Analysis('?', 'set', Params(), Result, {made}, list, list)\n",
    }

    def code(changed=""):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text + ("# changed\n" if name == changed else ""))
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return analysis._declared("tilt", "tiltown:ANALYSIS").code

    whole = code()
    assert code("tiltown") != whole
    assert code(deeper) != whole
    assert code() == whole


@dataclass(frozen=True)
class Listed(Params):
    pairs: str = field(default="", metadata={"file": True})
    """Which file."""
    note: str = "no.csv"
    """What."""


def test_a_file_that_a_parameter_names_belongs_to_the_key(tmp_path):
    one = analysis.get("distances")
    path = tmp_path / "pairs.csv"
    path.write_text("a")
    params = Listed().with_overrides({"pairs": str(path)})
    assert Listed().files() == {}
    assert params.files() == {"pairs": hashlib.sha256(b"a").hexdigest()}
    key = one.key(params, ["x"])
    assert key == one.key(params, ["x"])
    path.write_text("b")
    assert key != one.key(params, ["x"])


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone.csv: No such file.*: pairs must name a file"):
        Listed(str(tmp_path / "gone.csv")).files()
    with pytest.raises(UserError, match="pairs must name a file"):
        analysis.get("distances").key(Listed(str(tmp_path)), [])


def test_a_difference_of_shares_is_written_in_points():
    assert Estimate(0.012, -0.003, 0.027).points() == "+1.2 points [-0.3, +2.7]"
    assert Estimate(-0.0036, -0.0049, -0.0003).points() == "-0.36 points [-0.49, -0.03]"
    assert Estimate(0.5).points() == "+50.0 points"


@pytest.mark.parametrize(
    ("ends", "said", "tone"),
    [
        ((0.1, 0.05, 0.2), "It rose: a change of +10.0 points [+5.0, +20.0].", "good"),
        ((-0.1, -0.2, -0.05), "It rose: a change of -10.0 points [-20.0, -5.0].", "bad"),
        ((0.1, 0.0, 0.2), "It rose: the change of +10.0 points [+0.0, +20.0] may be chance.", "plain"),
    ],
)
def test_a_difference_is_judged_by_its_interval(ends, said, tone):
    found = judged("It rose", Estimate(*ends), word="change")
    assert (found.text, found.tone) == (said, tone)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), np.float64("nan")])
def test_a_number_that_is_not_finite_is_stored_in_json_and_comes_back(tmp_path, odd):
    shares = {"a": Estimate(odd, odd, odd, 3, odd), "b": Estimate(0.5)}
    found = Found("t", 3, Estimate(odd), shares, ("a",), np.array([odd]), np.array(["x"]))
    found.save(tmp_path)
    json.loads((tmp_path / "result.json").read_text(), parse_constant=lambda name: 1 / 0)
    back = Found.load(tmp_path)
    assert str(dataclasses.replace(back, values=FOUND.values, words=FOUND.words)) == str(
        dataclasses.replace(
            found,
            share=Estimate(float(odd)),
            each={"a": Estimate(*[float(odd)] * 3, 3, float(odd)), "b": Estimate(0.5)},
            values=FOUND.values,
            words=FOUND.words,
        )
    )


def test_a_result_names_itself_shortly_and_is_a_table():
    @dataclass(frozen=True)
    class Found(Result):
        """Something."""

        share: Estimate
        count: int
        curve: Float[np.ndarray, " n"]

    one = Found("p in net", Estimate(0.5, 0.4, 0.6, 12, 0.1), 3, np.zeros(10_000))
    assert repr(one) == "<Found of p in net: 2 numbers>"
    table = one.to_pandas().set_index("label")
    assert list(table.columns) == ["value", "low", "high", "n", "null"]
    assert table.loc["share"].tolist() == [0.5, 0.4, 0.6, 12, 0.1]
    assert table.loc["count", "value"] == 3
