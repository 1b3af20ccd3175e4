"""Whatever is in a file, its reader gives a value or says in one line what is wrong.

Each kind of file is made once and damaged by hypothesis: cut short, bits turned over, parts overwritten,
put in, taken out or doubled. A reader may raise nothing but ``UserError``, may not hang, and may not run
what a pickle names. Draws are the same in every run.
"""

import io
import json
import os
import pickle
import signal
import tempfile
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedlab import study
from embedlab.data import binned, datasets, landmarks, packed, recorded
from embedlab.errors import UserError
from embedlab.formats import attributes, conversion, interchange, protocols
from embedlab.formats import insightface_bin as bins
from embedlab.lab import embeddings, weights
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.store import Lab, sha256_of

LONGEST_S = 30
EXAMPLES = int(os.environ.get("EMBEDLAB_FUZZ_EXAMPLES", "60"))
"""Of damage for each kind of file; with more, draws differ from run to run."""
MARKER = Path(tempfile.gettempdir()) / f"embedlab_fuzz_marker_{os.getpid()}"

# Its caches belong to nobody's working folder.
_HOME = tempfile.TemporaryDirectory(prefix="embedlab_fuzz_")
hypothesis.configuration.set_hypothesis_home_dir(_HOME.name)

SETTINGS = settings(
    derandomize=EXAMPLES == 60,
    database=None,
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink],
)


@pytest.fixture(scope="session", autouse=True)
def home():
    yield
    _HOME.cleanup()


@contextmanager
def at_most(seconds):
    def ring(*_):
        raise AssertionError(f"reading took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judged(read):
    """Read; give whether it went well. Anything but a value or a line of advice fails the test."""
    with at_most(LONGEST_S):
        try:
            read()
            well = True
        except UserError as error:
            assert str(error).strip()  # noqa: PT017
            well = False
    assert not MARKER.exists(), "what the file names was run"
    return well


class Damaged(bytes):
    """Bytes of which only the beginning is shown; draws are the same in every run."""

    def __repr__(self):
        return f"<{len(self):,} bytes, {bytes(self[:200])!r} …>"


@st.composite
def damaged(draw, valid):
    """Bytes that were a good file."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        # Heads say what the rest is, and are hit more often.
        at = at % 64 if draw(st.booleans()) else at
        length = draw(st.sampled_from([1, 2, 4, 8, 30]))
        how = draw(
            st.sampled_from(["flip", "flip", "cut", "overwrite", "insert", "remove", "double", "fill"])
        )
        if how == "flip" and data:
            data[at % len(data)] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at:]
        elif how == "overwrite":
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=length))
        elif how == "remove":
            del data[at : at + length]
        elif how == "double":
            data[at:at] = data[at : at + length]
        elif how == "fill":
            data[at : at + length] = draw(st.sampled_from([b"\xff", b"\x00", b"\x7f"])) * length
    return Damaged(data)


# Good files of each kind


class Planted:
    """Pickled, it makes a file when it is unpickled."""

    def __reduce__(self):
        return os.system, (f"touch {MARKER}",)


def picture(k, kind="PNG", size=(9, 8)):
    pixels = np.random.default_rng(k).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert("L") if kind == "PPM" and k % 2 else image).save(file, kind)
    return file.getvalue()


def faces(folder):
    for k, name in enumerate(("ann/1.png", "ann/2.png", "bob/1.png", "bob/2.png")):
        (folder / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "faces" / name).write_bytes(picture(k))
    return folder / "faces"


def make_index(folder):
    faces(folder)
    (folder / "faces_ids.txt").write_text(
        "faces/ann/1.png 1\nfaces/ann/2.png 1\n\nfaces/bob/1.png 2\n./faces/bob/2.png 2\n"
    )


def everything(dataset):
    """Ask a data set for all it has."""
    assert dataset.fingerprint
    assert len(dataset.items) == len(dataset.labels) == len(set(dataset.items))
    assert dataset.labels.max() < len(dataset.identities)
    for i in range(len(dataset)):
        with suppress(datasets.UnreadableImage):
            assert dataset.image(i).ndim == 3


def make_pairs(folder):
    (folder / "p.csv").write_text('image_a,image_b,same,fold\na/1,a/2,1,0\n"a ""x""",b,no,1\nc,d,TRUE,1\n')


def make_lfw(folder):
    (folder / "p.txt").write_text("2\t1\nann 1 2\nann 1 bob 2\ncyd 1 2\ncyd 1 dan 1\n")


def make_bin(folder):
    bins.write(folder / "p.bin", [picture(k) for k in (0, 1, 2, 0)], [True, False])


def make_python2_bin(folder):
    images = np.empty(4, object)
    images[:] = [np.frombuffer(picture(k), np.uint8) for k in range(4)]
    (folder / "p.bin").write_bytes(pickle.dumps((list(images), list(np.array([True, False]))), 2))


def make_hostile_bin(folder):
    (folder / "p.bin").write_bytes(pickle.dumps(([picture(0), Planted()], [True]), 2))


def read_bin(folder):
    pairs = protocols.read(folder / "p.bin")
    dataset = binned.open_bin(folder / "p.bin")
    assert (pairs.rows(dataset.items)[0] >= 0).all()
    everything(dataset)


def make_rec(folder):
    recorded.write_rec(datasets.open_dataset(faces(folder)), folder / "train.rec")


def make_bare_rec(folder):
    make_rec(folder)
    (folder / "train.idx").unlink()


def make_landmarks(folder):
    names = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    head = ",".join(f"{name}_{axis}" for name in names for axis in "xy")
    rows = "a/1.png,69,109,106,113,77,142,73,152,108,154\nb/2.png,6.5,10,1e2,11,7,14.25,7,15,108,1000\n"
    (folder / "l.csv").write_text(f"item,{head}\n{rows}")


def make_celeba(folder):
    names = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    points = " ".join(f"{name}_{axis}" for name in names for axis in "xy")
    rows = "000001.jpg  69  109  106  113   77  142   73  152  108  154\n"
    (folder / "l.txt").write_text(f"2\n{points}\n{rows}{rows.replace('01', '02')}")


def make_attributes(folder):
    (folder / "a.csv").write_text('item,gender,camera\na/1,f,"x, y"\na/2,m,\n')


VECTORS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
ITEMS, PEOPLE = [f"i{k}" for k in range(6)], [f"p{k // 2}" for k in range(6)]


def make_npz(folder):
    np.savez(
        folder / "e.npz", vectors=VECTORS, items=ITEMS, labels=[0, 0, 1, 1, 2, 2], identities=["a", "b", "c"]
    )


def make_hostile_npz(folder):
    items = np.array([Planted(), *ITEMS[1:]], dtype=object)
    np.savez(folder / "e.npz", vectors=VECTORS, items=items, identity=PEOPLE)


def make_npy(folder):
    np.save(folder / "e.npy", VECTORS)
    make_listed(folder)


def make_hostile_npy(folder):
    np.save(folder / "e.npy", np.array([Planted()] * 6, dtype=object))
    make_listed(folder)


def make_listed(folder):
    rows = "".join(f"{item},{person}\n" for item, person in zip(ITEMS, PEOPLE, strict=True))
    (folder / "items.csv").write_text(f"item,identity\n{rows}")


def make_vectors_csv(folder):
    rows = "".join(
        f"{item},{person},{','.join(map(str, vector))}\n"
        for item, person, vector in zip(ITEMS, PEOPLE, VECTORS, strict=True)
    )
    (folder / "e.csv").write_text(f"item,identity,0,1,2\n{rows}")


def make_parquet(folder):
    embedded = EmbeddingSet.from_rows("m", "p", VECTORS, ITEMS, PEOPLE, {"age": np.arange(6)})
    embeddings.write(folder / "e.parquet", embedded, {"model": "m", "probe": "p"})


def make_german_csv(folder):
    rows = "".join(
        f'"{item}";{person};{";".join(map(str, vector)).replace(".", ",")};"x;\r\n{item}"\r\n'
        for item, person, vector in zip(ITEMS, PEOPLE, VECTORS, strict=True)
    )
    (folder / "e.csv").write_bytes(f"sep=;\r\nitem;identity;0;1;2;note\r\n{rows}".encode("utf-16"))


def make_typed_parquet(folder):
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "item": [item.encode() for item in ITEMS],
        "identity": pa.array(PEOPLE).dictionary_encode(),
        "embedding": pa.array(VECTORS.tolist(), pa.large_list(pa.float64())),
        "age": pa.array([1, None, 3, 4, 5, 2**63], pa.uint64()),
        "weight": pa.array([1, 2, 3, 4, 5, None], pa.decimal128(9, 2)),
        "born": [datetime.date(2020, 1, 1)] * 6,
        "box": [{"x": [1.0, 2.0]}] * 6,
        "short": pa.array(range(6), pa.int8()).cast(pa.float32()).cast(pa.float16()),
    }
    pq.write_table(pa.table(columns), folder / "e.parquet", row_group_size=2)


def make_typed_npz(folder):
    columns = {"age": np.arange(6, dtype=">u8"), "spectrum": np.zeros(6, complex), "box": np.zeros((6, 4))}
    items = [item.encode() for item in ITEMS]
    np.savez_compressed(folder / "e.npz", vectors=VECTORS.astype("g"), items=items, labels=PEOPLE, **columns)


def make_parts(folder):
    import pyarrow.parquet as pq

    make_typed_parquet(folder)
    table = pq.read_table(folder / "e.parquet")
    (folder / "p.parquet").mkdir()
    for k in range(2):
        pq.write_table(table.slice(3 * k, 3), folder / "p.parquet" / f"{k}.parquet")


def imported(name, items=None):
    def read(folder):
        given = None if items is None else folder / items
        interchange.import_embeddings(folder / name, model="m", probe="p", items=given)

    return read


def make_pack(folder):
    packed.pack(datasets.open_dataset(faces(folder)), folder / "faces.pack")


@cache
def tiny():
    import torch

    from embedlab.networks import backbones

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return backbones.build("ir_se_18", input_size=16, width=2, dimension=4)


def make_checkpoint(folder):
    from embedlab.networks import checkpoints
    from embedlab.networks.embedder import Preprocessing

    record = checkpoints.Record(
        name="tiny",
        recipe={"epochs": 1},
        preprocessing=Preprocessing(16),
        data={"lowres": "abc"},
        identities=3,
        identities_sha256="def",
        images=9,
        unreadable=[{"item": "a.png", "reason": "broken"}],
        history=[{"epoch": 1, "loss": 2.5}],
        metrics={"loss": 2.5},
        seed=7,
        device="cpu",
        images_per_second=10.0,
        seconds=1.0,
        versions={"python": "3.11"},
    )
    checkpoints.save(Lab(folder), tiny(), record)


def load_checkpoint(folder):
    from embedlab.networks import checkpoints

    checkpoints.load(Lab(folder), "tiny")
    Lab(folder).recipe("tiny")


def load_damaged_weights(folder):
    """As if the record were of these weights, so that their hash does not give them away."""
    file = folder / "checkpoints" / "tiny" / "model.json"
    values = json.loads(file.read_text())
    values["weights_sha256"] = sha256_of(file.with_name("model.safetensors"))
    file.write_text(json.dumps(values))
    load_checkpoint(folder)


def read_weights(folder):
    weights.read(folder / "checkpoints" / "tiny" / "model.safetensors", "tiny")


def make_pth(folder):
    import torch

    torch.save({"state_dict": tiny().state_dict(), "epoch": 3}, folder / "m.pth")


def make_old_pth(folder):
    import torch

    torch.save(tiny().state_dict(), folder / "m.pth", _use_new_zipfile_serialization=False)


def make_hostile_pth(folder):
    import torch

    torch.save({"state_dict": tiny().state_dict(), "code": Planted()}, folder / "m.pth")


def make_bare_pickle(folder):
    (folder / "m.pth").write_bytes(pickle.dumps({"state_dict": Planted()}, 2))


def open_pth(folder):
    from embedlab.networks import foreign

    foreign.open_model(folder / "m.pth")


def make_contract(folder):
    from embedlab.networks.embedder import PRESETS

    (folder / "m.onnx").touch()
    (folder / "m.json").write_text(json.dumps({"preprocessing": PRESETS["imagenet"].to_json()}))


def read_contract(folder):
    from embedlab.networks import contracts

    contracts.contract(folder / "m.onnx", None, 112)


def make_map(folder):
    embedded = EmbeddingSet.from_rows("m", "p", VECTORS, ITEMS, PEOPLE)
    from safetensors.numpy import save_file

    record = {"method": "least squares", "penalty": 0.0, "rank": 3}
    record |= {"source": {"model": "a"}, "target": {"model": "b"}, "fingerprint": embedded.fingerprint}
    tensors = {"matrix": np.eye(3), "shift": np.zeros(3)}
    save_file(tensors, folder / "map.safetensors", metadata={conversion.HEADER: json.dumps(record)})


def make_study(folder):
    (folder / "s.toml").write_text(
        'title = "t"\nmodels = ["a", "b"]\nprobes = ["x", "x@32"]\nanalyses = ["distances"]\n\n'
        "[set.distances]\nseed = 3\n"
    )


def make_recipe(folder):
    (folder / "r.toml").write_text(
        'backbone = "ir_se_18"\ninput_size = 32\ndata = "lowres"\nlearning_rate = 0.1\n[demo]\nepochs = 2\n'
    )


def read_recipe(folder):
    from embedlab.training import recipe

    recipe.load(folder / "r.toml", "demo")


KINDS = {
    "index of images": (
        make_index,
        "faces_ids.txt",
        lambda f: everything(datasets.open_dataset(f / "faces_ids.txt")),
    ),
    "pairs CSV": (make_pairs, "p.csv", lambda f: protocols.read(f / "p.csv")),
    "pairs.txt": (make_lfw, "p.txt", lambda f: protocols.read(f / "p.txt")),
    ".bin": (make_bin, "p.bin", read_bin),
    ".bin of Python 2": (make_python2_bin, "p.bin", read_bin),
    ".bin with code": (make_hostile_bin, "p.bin", read_bin),
    ".rec": (make_rec, "train.rec", lambda f: everything(recorded.open_rec(f / "train.rec"))),
    ".rec without .idx": (
        make_bare_rec,
        "train.rec",
        lambda f: everything(recorded.open_rec(f / "train.rec")),
    ),
    ".idx": (make_rec, "train.idx", lambda f: everything(recorded.open_rec(f / "train.rec"))),
    "property": (make_rec, "property", lambda f: recorded.open_rec(f / "train.rec")),
    "landmarks CSV": (make_landmarks, "l.csv", lambda f: landmarks.read(f / "l.csv").rows(["1.png"])),
    "CelebA's landmarks": (make_celeba, "l.txt", lambda f: landmarks.read(f / "l.txt").rows(["1.png"])),
    "attributes": (make_attributes, "a.csv", lambda f: attributes.read(f / "a.csv")),
    "embeddings .npz": (make_npz, "e.npz", imported("e.npz")),
    "embeddings .npz with code": (make_hostile_npz, "e.npz", imported("e.npz")),
    "embeddings .npy": (make_npy, "e.npy", imported("e.npy", "items.csv")),
    "embeddings .npy with code": (make_hostile_npy, "e.npy", imported("e.npy", "items.csv")),
    "list of items": (make_npy, "items.csv", imported("e.npy", "items.csv")),
    "embeddings CSV": (make_vectors_csv, "e.csv", imported("e.csv")),
    "foreign Parquet": (make_parquet, "e.parquet", imported("e.parquet")),
    "embeddings Parquet": (make_parquet, "e.parquet", lambda f: embeddings.read(f / "e.parquet")),
    "CSV in UTF-16": (make_german_csv, "e.csv", imported("e.csv")),
    "Parquet of many types": (make_typed_parquet, "e.parquet", imported("e.parquet")),
    "embeddings .npz of many types": (make_typed_npz, "e.npz", imported("e.npz")),
    "Parquet in parts": (make_parts, "p.parquet/1.parquet", imported("p.parquet")),
    "pack.json": (
        make_pack,
        "faces.pack/pack.json",
        lambda f: everything(packed.open_pack(f / "faces.pack")),
    ),
    "items.parquet": (
        make_pack,
        "faces.pack/items.parquet",
        lambda f: everything(packed.open_pack(f / "faces.pack")),
    ),
    "a pack's images": (
        make_pack,
        "faces.pack/8.npy",
        lambda f: everything(packed.open_pack(f / "faces.pack")),
    ),
    "model.json": (make_checkpoint, "checkpoints/tiny/model.json", load_checkpoint),
    "model.safetensors": (make_checkpoint, "checkpoints/tiny/model.safetensors", load_damaged_weights),
    "weights": (make_checkpoint, "checkpoints/tiny/model.safetensors", read_weights),
    ".pth": (make_pth, "m.pth", open_pth),
    ".pth of old": (make_old_pth, "m.pth", open_pth),
    ".pth with code": (make_hostile_pth, "m.pth", open_pth),
    ".pth that is a pickle": (make_bare_pickle, "m.pth", open_pth),
    "contract": (make_contract, "m.json", read_contract),
    "map": (make_map, "map.safetensors", lambda f: conversion.load(f / "map.safetensors")),
    "study": (make_study, "s.toml", lambda f: study.read(f / "s.toml")),
    "recipe": (make_recipe, "r.toml", read_recipe),
}
REFUSED = {name for name in KINDS if "with code" in name or "that is a pickle" in name}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    @cache
    def make(name):
        folder = tmp_path_factory.mktemp("fuzz")
        KINDS[name][0](folder)
        return folder

    return make


@pytest.mark.parametrize("name", KINDS)
def test_a_good_file_is_read_and_code_is_refused(made, name):
    _, _, read = KINDS[name]
    assert judged(lambda: read(made(name))) == (name not in REFUSED)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_read_or_told(made, name):
    _, file, read = KINDS[name]
    folder = made(name)
    valid = (folder / file).read_bytes()
    refused = []

    @SETTINGS
    @given(damaged(valid))
    def check(data):
        # A new file, because the old one may still be mapped into memory.
        (folder / file).unlink()
        (folder / file).write_bytes(data)
        refused.append(not judged(lambda: read(folder)))

    try:
        check()
    finally:
        (folder / file).unlink()
        (folder / file).write_bytes(valid)
    if name != "property":
        assert any(refused), "no damage was noticed: the test does not reach the reader"


ODD = [*"aZ0,;:\"'\\=[ \t\r\n\x00\x0b\x1c\x85\xa0é²٣č\u2028\ufeff𝟘", "\ud800"]
TEXTS = {
    "index of images": [
        "faces/ann/1.png",
        "1",
        " ",
        "\n",
        "\t",
        "..",
        "/",
        "\x00",
        "\ufeff",
        "\r",
        "é",
        "\x85",
    ],
    "pairs CSV": [
        "image_a,image_b,same",
        ",fold",
        "\n",
        ",",
        '"',
        "a",
        "1",
        "yes",
        "\x00",
        "\r",
        "-",
        "9" * 30,
    ],
    "pairs.txt": ["2 1\n", "1\n", "ann", " ", "\t", "1", "\n", "²", "9" * 30, "-1", "\x0b"],
    ".idx": ["0", "1", "\t", "\n", "\r", "9" * 18, "9" * 25, "-", " "],
    "property": ["3", ",", "112", "-1", "²", "\n", "9" * 5000],
    "landmarks CSV": [
        "item,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n",
        "a,1,1,9,1,5,5,1,9,9,9\n",
        ",",
        '"',
        "nan",
        "1e400",
        "\n",
    ],
    "CelebA's landmarks": ["1\n", "lefteye_x lefteye_y", "a 1 1 9 1 5 5 1 9 9 9\n", " ", "\n", "²", "\u2028"],
    "attributes": ["item", "name", ",", "\n", '"', "a", "\x00", "\r"],
    "list of items": ["item,identity\n", "a,b\n", ",", '"', "\n", "i1,p1\n", "\r"],
    "embeddings CSV": [
        "item,identity,0,1\n",
        "a,b,1,2\n",
        "c,d,nan,1e999\n",
        ",",
        '"',
        "\n",
        "\x00",
        "e0,e1",
        ";",
        "\t",
        "item;identity;e0;e1\n",
        "a;b;1,5;2\n",
        "sep=;\n",
    ],
    "model.json": ["{", "}", '"schema": 1', ",", '"preprocessing": ', "[", "]", "null", "1e999", "NaN", '"'],
    "pack.json": ["{", "}", '"schema": 1', ",", '"files": ', "[", "]", "null", "1e999", "NaN", '"', "-1"],
    "contract": ["{", "}", '"preprocessing"', ":", '"imagenet"', "[", "]", "null", "1e999", "NaN", "\ud800"],
    "study": ["models", " = ", '["a"]', "\n", "[set]", "[set.x]", '"', "1", "nan", "2020-01-01"],
    "recipe": ["epochs", "margin", " = ", "1", '"x"', "\n", "[demo]", "nan", "inf", "1e999", "true", "-5"],
}


@pytest.mark.parametrize("name", TEXTS)
def test_any_text_is_read_or_told(made, name):
    _, file, read = KINDS[name]
    folder = made(name)
    valid = (folder / file).read_bytes()
    words = st.sampled_from([*TEXTS[name] * 3, *ODD])

    @SETTINGS
    @given(st.lists(words, max_size=25).map("".join), st.sampled_from(["utf-8", "utf-16"]))
    def check(text, code):
        (folder / file).write_bytes(text.encode(code, "surrogatepass"))
        judged(lambda: read(folder))

    try:
        check()
    finally:
        (folder / file).write_bytes(valid)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP", "GIF"])
def test_a_damaged_picture_is_pixels_or_unreadable(kind):
    valid = picture(1, kind, (24, 20))

    @SETTINGS
    @given(damaged(valid))
    def check(data):
        with at_most(LONGEST_S):
            try:
                pixels = datasets.read_image(io.BytesIO(data))
                assert pixels.ndim == 3
                assert pixels.shape[2] == 3
                assert pixels.dtype == np.uint8
            except datasets.UnreadableImage as error:
                assert str(error).strip()  # noqa: PT017

    check()


@SETTINGS
@given(st.binary(max_size=200))
def test_any_bytes_are_no_data_set_of_any_kind(data):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.bin", "a.rec", "a.txt", "a.csv", "a.pth"):
            (Path(folder) / name).write_bytes(data)
        folder = Path(folder)
        for read in (
            lambda: protocols.read(folder / "a.bin"),
            lambda: recorded.open_rec(folder / "a.rec"),
            lambda: datasets.open_dataset(folder / "a.txt"),
            lambda: protocols.read(folder / "a.csv"),
            lambda: landmarks.read(folder / "a.csv"),
        ):
            assert not judged(read)
