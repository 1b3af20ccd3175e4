"""What a model's word is, told once."""

import pytest

from embedlab.commands import pipeline, words
from embedlab.commands.request import Request
from embedlab.commands.words import Checkpoint, Code, OnnxFile, Recipe, Stored, TorchFile, VectorsFile, Word
from embedlab.errors import UserError
from embedlab.formats import interchange
from embedlab.lab.store import Lab, write_json
from embedlab.networks.contracts import TORCH_SUFFIXES
from tests.planted import embedding_set


@pytest.fixture
def lab(tmp_path):
    """A lab with a network, and with embeddings alone under the name of a recipe and another."""
    lab = Lab(tmp_path / "lab")
    write_json(lab.checkpoint("net") / "model.json", {"weights_sha256": "y"})
    for name in ("theirs", "lowres144"):
        interchange.save(lab, embedding_set(model=name, probe="p"), __file__)
    return lab


@pytest.mark.parametrize(
    ("text", "kind", "title"),
    [
        ("pack.module:make", Code, "pack.module:make"),
        ("x/a.ONNX", OnnxFile, "a"),
        *((f"x/a{ending}", TorchFile, "a") for ending in TORCH_SUFFIXES),
        *((f"x/a{ending}", VectorsFile, "a") for ending in interchange.SUFFIXES),
        ("lowres144", Word, "lowres144"),
        ("a.b", Word, "a.b"),
        ("3:a", Word, "3:a"),
    ],
)
def test_a_word_tells_by_itself_whether_it_is_code_a_file_or_a_name(text, kind, title):
    found = words.of(text)
    assert type(found) is kind
    assert (found.text, found.title) == (text, title)
    assert pipeline.named([text]) == pipeline.made_name(title, "model")


@pytest.mark.parametrize(
    ("text", "kind", "embeds"),
    [
        ("net", Checkpoint, True),
        ("lowres144", Recipe, True),
        ("theirs", Stored, False),
        ("net.parquet", VectorsFile, False),
        ("net.onnx", OnnxFile, True),
        ("net:net", Code, True),
    ],
)
def test_of_a_plain_name_the_lab_tells_what_it_names(lab, text, kind, embeds):
    found = words.recognised(text, lab)
    assert type(found) is kind
    assert found.embeds == embeds
    assert found.name == ("net" if kind is VectorsFile else text)


def test_a_name_of_nothing_is_told_with_all_that_there_is(lab):
    with pytest.raises(
        UserError,
        match=r"unknown model 'nobody': name one of lowres144, net, theirs, .*\.csv or \.parquet file",
    ):
        words.recognised("nobody", lab)


def test_a_network_from_elsewhere_has_the_preset_that_names_it_else_the_one_for_all(lab):
    request = Request(lab, preprocessing={"a": "raw01", "": "imagenet"})
    assert [words.of(text).preset(request) for text in ("x/a.onnx", "b.pth", "a:a")] == [
        "raw01",
        "imagenet",
        "imagenet",
    ]
    assert words.of("b.pth").preset(Request(lab)) is None


def test_vectors_that_are_called_as_another_seed_would_be_stay_vectors(lab):
    file = lab.embeddings_file("lowres144_seed31", "p")
    file.parent.mkdir(parents=True)
    file.touch()
    assert type(words.recognised("lowres144_seed31", lab)) is words.Stored
    assert type(words.recognised("lowres144_seed32", lab)) is words.Recipe


@pytest.mark.parametrize("name", ["lowres144", "lowres144_seed31"])
def test_a_recipe_is_opened_only_where_it_may_be_trained(lab, name):
    assert words.recognised(name, lab).opened(Request(lab, train=True)) is None
    with pytest.raises(
        UserError, match=f"known recipe without a checkpoint .* `embedlab train {name} --scale"
    ):
        words.recognised(name, lab).opened(Request(lab))
