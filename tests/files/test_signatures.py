import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from embedlab.errors import UserError
from embedlab.files import signatures
from embedlab.files.signatures import HEAD, of_bytes, of_file
from embedlab.formats import conversion, protocols
from embedlab.formats import insightface_bin as bins
from embedlab.formats.interchange import import_embeddings

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "an empty file"),
        (LFS, "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\xef\xbb\xbf\n <html lang='en'>", "a web page"),
        (b"<?xml version='1.0'?><!DOCTYPE html>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "a file of XML"),
        (b'{"error": "not found"}', "a file of JSON"),
        (b"%!PS-Adobe-3.0 EPSF", "a PostScript file"),
        (b"\xc5\xd0\xd3\xc6" + bytes(20), "a PostScript file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x00\x00\x00\x20ftypheic", "HEIC"),
        (b"\x00\x00\x00\x20ftypavif", "AVIF"),
        (b"\x00\x00\x00\x20ftypisom", "a video"),
        (b"\x93NUMPY\x01\x00", "a .npy file"),
        (b"PAR1", "a Parquet file"),
    ],
)
def test_files_are_told_by_their_first_bytes(head, name):
    assert name in of_bytes(head).name


@pytest.mark.parametrize("head", [b"hello", b"\x80\x02}q\x00", bytes(HEAD), b"\x80\x04\x95"])
def test_what_is_not_known_is_not_guessed(head):
    assert of_bytes(head) is None


def scripted():
    """Lay an archive out as torch.jit.save does, which is deprecated and says so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py", "x/version"):
            archive.writestr(name, "x")
    return file.getvalue()


def test_files_that_libraries_write_are_told(tmp_path):
    tensors = {"a.weight": torch.zeros(3)}
    torch.save(tensors, tmp_path / "torch")
    torch.save(tensors, tmp_path / "old", _use_new_zipfile_serialization=False)
    (tmp_path / "script").write_bytes(scripted())
    save_file(tensors, tmp_path / "safetensors")
    (tmp_path / "pickle").write_bytes(pickle.dumps({"a": 1}))
    np.save(tmp_path / "array.npy", np.zeros(3))
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    with tarfile.open(tmp_path / "tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    Image.new("RGB", (9, 9)).save(tmp_path / "picture", "PNG")
    told = {path.name: of_file(path) for path in tmp_path.iterdir()}
    assert told["torch"] is signatures.TORCH
    assert told["old"] is signatures.TORCH
    assert told["script"] is signatures.SCRIPT
    assert told["safetensors"] is signatures.SAFETENSORS
    assert told["pickle"] is None
    assert told["zip"] is signatures.ZIP
    assert told["array.npy"].name == "a .npy file of numpy"
    assert told["tar"].name == "a tar archive"
    assert told["picture"].name == "a picture"


def test_an_onnx_network_is_told(tmp_path):
    import onnx

    shape = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [shape], [out]))
    onnx.save(model, tmp_path / "bare")
    assert of_file(tmp_path / "bare") is signatures.ONNX
    model.producer_name = "pytorch"
    onnx.save(model, tmp_path / "named")
    assert of_file(tmp_path / "named") is signatures.ONNX


def test_what_cannot_be_read_is_not_known(tmp_path):
    assert of_file(tmp_path / "gone") is None
    (tmp_path / "cut").write_bytes(b"PK\x03\x04 and no more")
    assert of_file(tmp_path / "cut") is signatures.CUT_ZIP


def imported(path):
    items = path.with_name("items.csv") if path.suffix == ".npy" else None
    return import_embeddings(path, model="m", probe="p", items=items)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        *((f"a{suffix}", imported) for suffix in (".parquet", ".csv", ".npy", ".npz")),
        ("a.csv", protocols.read),
        ("a.txt", protocols.read),
        ("a.bin", bins.read),
        ("a.safetensors", conversion.load),
    ],
)
@pytest.mark.parametrize(("head", "kind"), [(LFS, "a Git LFS pointer"), (b"\n<!DOCTYPE html>", "a web page")])
def test_every_reader_knows_what_it_was_given_in_the_place_of_a_file(tmp_path, name, read, head, kind):
    (tmp_path / name).write_bytes(head)
    with pytest.raises(UserError, match=f"{name} is no .*, but {kind}, not .*: (run `git lfs|download the)"):
        read(tmp_path / name)


def test_files_of_other_kinds_are_told_to_readers_of_text_and_of_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).write_bytes((tmp_path / "a.npy").read_bytes())
        with pytest.raises(
            UserError, match=f"{name} is no (CSV|Parquet file), but a .npy file of numpy: call"
        ):
            imported(tmp_path / name)
