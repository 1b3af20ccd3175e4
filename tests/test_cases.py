"""Small inputs that once went wrong, as files; more of each kind are built in the tests of the readers."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedlab import progress
from embedlab.commands import cli
from embedlab.data import recorded, sources
from embedlab.data.datasets import UnreadableImage, read_image
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.networks import imports
from embedlab.networks.foreign import open_onnx


@pytest.fixture
def cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no folder of cases at {folder}")
    return folder


def opened(path):
    heard = io.StringIO()
    with progress.shown(heard):
        return sources.open_source(path), heard.getvalue()


def test_pictures_of_no_known_scale_are_refused(cases):
    truth = read_image(cases / "images" / "truth.png")
    assert 100 < truth.mean() < 200
    for name in ("8_bits_in_16.png", "12_bits_in_16.png", "8_bits_in_int32.tif"):
        with pytest.raises(UnreadableImage, match="scale is not known"):
            read_image(cases / "images" / name)


def test_train_and_test_are_no_people(cases):
    found, heard = opened(cases / "split")
    assert found.identities == ("person0", "person1", "person2", "person3")
    assert np.bincount(found.labels).tolist() == [4] * 4
    assert "caution: the folders test, train were taken for parts of one data set" in heard


def test_thumbnails_are_nobody(cases):
    found, heard = opened(cases / "eadir")
    assert (found.identities, len(found)) == (("ann", "bob"), 4)
    assert "folders that programs made were passed over: @eaDir" in heard


def test_a_folder_of_a_rec_is_opened(cases):
    found, heard = opened(cases / "recfolder")
    assert (type(found), len(found)) == (recorded.RecDataset, 8)
    assert "opened as its train.rec" in heard
    assert found.image(0).ndim == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("checkpoint.pth", r"torch.load\('checkpoint.pth', .*, 'checkpoint-tensors.pth'\)"),
        ("git_lfs_pointer.pth", "is no PyTorch file, but a Git LFS pointer"),
        ("download_page.pth", "is no PyTorch file, but a web page"),
    ],
)
def test_advice_fits_the_file(cases, name, said):
    with pytest.raises(UserError, match=said) as caught:
        imports.read(cases / name)
    assert ("weights_only" in str(caught.value)) == (name == "checkpoint.pth")


def test_an_open_batch_before_a_graph_of_one_image(cases):
    embedder = open_onnx(cases / "open_batch_fixed_reshape.onnx", "insightface")
    assert embedder.batch == 1
    size = embedder.preprocessing.size
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    one_by_one = np.concatenate([embedder.embed(images[k : k + 1]) for k in range(3)])
    np.testing.assert_array_equal(embedder.embed(images), one_by_one)


def test_they_are_extracted_by_the_command_line(cases, tmp_path, capsys):
    model = shutil.copy(cases / "tiny.onnx", tmp_path)
    for folder, images, people in (("eadir", 4, 2), ("recfolder", 8, 4), ("split", 16, 4)):
        code = cli.main(
            ["extract", "--models", str(model), "--data", str(cases / folder), "--probes", folder,
             "--lab", str(tmp_path / "lab")]
        )  # fmt: skip
        assert code == 0, capsys.readouterr().err
        found = Lab(tmp_path / "lab").embeddings("tiny", folder)
        assert (len(found.items), len(found.identities)) == (images, people)
