import dataclasses
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab.commands import cli
from embedlab.commands import files as cli_files
from embedlab.errors import UserError
from embedlab.files import columns
from embedlab.formats import conversion
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.linear.linear_maps import METHODS
from tests.planted import embedding_set

PEOPLE, IMAGES, OLD, NEW = 60, 4, 12, 9


def spaces():
    """An old model's vectors, and a new one's that are a linear map of them, at length one, and a shift."""
    old = embedding_set(PEOPLE, IMAGES, OLD, model="old", probe="faces")
    turn = np.random.default_rng(5).normal(size=(OLD, NEW))
    people = np.asarray(old.identities)[old.labels]
    new = EmbeddingSet.from_rows("new", "faces", old.unit @ turn + 0.3, list(old.items), list(people))
    return old, new


def stored(folder, found, name):
    path = folder / name
    embeddings.write(path, found, {"preprocessing": "ours"})
    return path


@pytest.fixture
def files(tmp_path):
    old, new = spaces()
    return stored(tmp_path, old, "old.parquet"), stored(tmp_path, new, "new.parquet")


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_an_old_gallery_becomes_one_of_the_new_model(files, tmp_path, capsys):
    old, new = files
    path = tmp_path / "m.safetensors"
    assert cli.main(["map", "fit", str(old), str(new), "--map", str(path)]) == 0
    assert "60 people" in capsys.readouterr().out
    assert cli.main(["map", "apply", str(old), "--map", str(path)]) == 0
    converted = embeddings.read(tmp_path / "old-as-new.parquet")
    _, truth = spaces()
    assert (converted.model, converted.probe) == ("old-as-new", "faces")
    assert converted.items.tolist() == truth.items.tolist()
    assert converted.identities == truth.identities
    assert cosines(converted.vectors, truth.vectors).mean() > 0.99
    head = embeddings.metadata(tmp_path / "old-as-new.parquet")
    assert head["mapped_by"]["source"] == "old"
    assert head["preprocessing"] == "ours"


def test_the_record_beside_the_map_tells_what_it_is(files, tmp_path):
    old, new = map(embeddings.read, files)
    found = conversion.fit(old, new)
    beside = conversion.save(found, tmp_path / "m.safetensors")
    record = json.loads(beside.read_text())
    assert record["source"]["model"] == "old"
    assert record["fitted_on"] == {"images": PEOPLE * IMAGES, "people": PEOPLE}
    beside.unlink()
    back = conversion.load(tmp_path / "m.safetensors")
    assert back.record == record
    np.testing.assert_array_equal(back.map.matrix, found.map.matrix)
    np.testing.assert_array_equal(back.map.shift, found.map.shift)


def test_quality_is_that_on_people_left_out():
    """With as many dimensions as pairs, a map fits noise perfectly where it was fitted, and nowhere else."""
    old = embedding_set(40, 2, 96, model="old", noise=0.1)
    noise = np.random.default_rng(1).normal(size=(80, 20))
    people = np.asarray(old.identities)[old.labels]
    new = EmbeddingSet.from_rows("new", "p", noise, list(old.items), list(people))
    found = conversion.fit(old, new, method="least squares")
    assert conversion.held_out(found, "R2").value < 0
    assert abs(conversion.held_out(found, "cosine").value) < 0.2
    truth = conversion.fit(*spaces(), method="least squares")
    good = conversion.held_out(truth, "R2")
    assert good.value > 0.9
    assert good.low <= good.value <= good.high
    assert good.null == 0
    cosine = conversion.held_out(truth, "cosine")
    assert cosine.null < 0.5 < 0.95 < cosine.value


def test_what_is_lost_in_tar_is_measured_on_people_left_out_and_said(files, tmp_path, capsys):
    good = conversion.fit(*spaces())
    assert good.record["held_out"]["FAR"] == 0.001
    lost, tar, new = (conversion.held_out(good, f"TAR{end}") for end in ("_lost", "", "_new"))
    assert lost.value == pytest.approx(new.value - tar.value)
    assert abs(lost.value) < 0.05
    assert lost.low <= 0 <= lost.high
    # A map that sees a third of the old vector loses, and noise all.
    old, target = spaces()
    blind = dataclasses.replace(old, vectors=old.vectors[:, :4])
    assert conversion.held_out(conversion.fit(blind, target), "TAR_lost").low > 0
    noise = np.random.default_rng(0).normal(size=old.vectors.shape).astype(np.float32)
    nothing = conversion.fit(dataclasses.replace(old, vectors=noise), target)
    assert conversion.held_out(nothing, "TAR").value < 0.05
    path = tmp_path / "m.safetensors"
    assert cli.main(["map", "fit", *map(str, files), "--map", str(path)]) == 0
    assert f"what the map loses: {lost.points()} of TAR" in capsys.readouterr().out


def test_of_turned_spaces_and_few_people_fit_tells_that_a_rotation_loses_less(tmp_path, capsys):
    rng = np.random.default_rng(0)
    old = embedding_set(30, 4, 48, noise=0.6)
    turn = np.linalg.qr(rng.normal(size=(48, 48)))[0].astype(np.float32)
    noisy = old.vectors @ turn + 0.2 * rng.normal(size=old.vectors.shape).astype(np.float32)
    files = [
        stored(tmp_path, dataclasses.replace(old, model=name, vectors=vectors), f"{name}.parquet")
        for name, vectors in (("old", old.vectors), ("new", noisy))
    ]
    words = ["map", "fit", *map(str, files), "--map", str(tmp_path / "m.safetensors")]
    said = []
    for method in ("ridge", "Procrustes"):
        assert cli.main([*words, "--method", method]) == 0
        said.append(capsys.readouterr().out)
    rotation = conversion.held_out(
        conversion.fit(*map(embeddings.read, files), method="Procrustes"), "TAR_lost"
    )
    assert f"Procrustes loses {rotation.points()} on the same people: --method Procrustes fits it" in said[0]
    assert "on the same people" not in said[1]


def test_where_nobody_has_two_images_no_tar_is_told(tmp_path, capsys):
    files = [
        stored(tmp_path, one.take(range(0, PEOPLE * IMAGES, IMAGES)), f"{one.model}.parquet")
        for one in spaces()
    ]
    assert cli.main(["map", "fit", *map(str, files), "--map", str(tmp_path / "m.safetensors")]) == 0
    assert "TAR cannot be told: give several images of more people" in capsys.readouterr().out


def test_held_out_figures_are_those_of_scikit_learn():
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    from embedlab.maths.people.folds import identity_folds

    old, new = spaces()
    fold = identity_folds(PEOPLE, 5, 3)[old.labels]
    a, b = old.unit.astype(float), new.unit.astype(float)
    mapped = cross_val_predict(LinearRegression(), a, b, cv=PredefinedSplit(fold))
    found = conversion.held_out(conversion.fit(old, new, method="least squares", seed=3), "cosine")
    assert found.value == pytest.approx(cosines(mapped, b).mean(), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_chosen(method):
    old, new = spaces()
    if method == "mean shift":
        with pytest.raises(UserError, match="a mean shift needs equal dimensions"):
            conversion.fit(old, new, method=method)
        new = old
    assert conversion.fit(old, new, method=method).map.method == method


def test_the_command_line_offers_every_method():
    assert cli_files.MAP_METHODS == METHODS


def test_large_files_are_converted_in_batches_and_keep_their_columns(files, tmp_path, monkeypatch):
    old = embeddings.read(files[0])
    tagged = EmbeddingSet(
        *(getattr(old, name) for name in ("model", "probe", "vectors", "items", "labels", "identities")),
        {"camera": np.arange(len(old.items))},
    )
    path = stored(tmp_path, tagged, "tagged.parquet")
    found = conversion.fit(*map(embeddings.read, files))
    conversion.save(found, tmp_path / "m.safetensors")
    at_once = tmp_path / "at_once.parquet"
    conversion.apply(found, path, at_once, map_file=tmp_path / "m.safetensors")
    monkeypatch.setattr(conversion, "BATCH", 37)
    out = tmp_path / "out.parquet"
    assert conversion.apply(found, path, out, map_file=tmp_path / "m.safetensors") == PEOPLE * IMAGES
    table = pq.read_table(out)
    assert table.column_names == ["item", "identity", "embedding", "norm", "camera"]
    assert table.column("camera").to_pylist() == list(range(PEOPLE * IMAGES))
    np.testing.assert_allclose(embeddings.read(out).vectors, embeddings.read(at_once).vectors, atol=1e-6)
    np.testing.assert_allclose(table.column("norm").to_numpy(), embeddings.read(out).norms, rtol=1e-5)


def test_a_mistake_in_a_later_batch_names_its_row(files, tmp_path, monkeypatch):
    old = embeddings.read(files[0])
    vectors = [*map(np.ndarray.tolist, old.vectors)]
    vectors[50] = None
    table = {
        "item": list(old.items),
        "identity": [old.identities[k] for k in old.labels],
        "embedding": vectors,
    }
    pq.write_table(pa.table(table), tmp_path / "gap.parquet")
    conversion.save(conversion.fit(*map(embeddings.read, files)), tmp_path / "m.safetensors")
    monkeypatch.setattr(conversion, "BATCH", 37)
    with pytest.raises(UserError, match="row 50 has no vector"):
        conversion.apply(
            conversion.load(tmp_path / "m.safetensors"), tmp_path / "gap.parquet", tmp_path / "out.parquet",
            map_file=tmp_path / "m.safetensors",
        )  # fmt: skip


def test_a_csv_becomes_parquet(files, tmp_path):
    found = conversion.fit(*map(embeddings.read, files))
    conversion.save(found, tmp_path / "m.safetensors")
    path = tmp_path / "theirs.csv"
    old = embeddings.read(files[0])
    rows = [
        f"{i},{old.identities[k]}," + ",".join(map(str, v))
        for i, k, v in zip(old.items, old.labels, old.vectors, strict=True)
    ]
    path.write_text("\n".join(["item,identity," + ",".join(map(str, range(OLD))), *rows]))
    assert conversion.read_vectors(path).model == "theirs"
    out = tmp_path / "out.parquet"
    conversion.apply(found, path, out, map_file=tmp_path / "m.safetensors")
    np.testing.assert_allclose(
        embeddings.read(out).vectors, found.map.apply(old.unit).astype(np.float32), atol=1e-5
    )


def broken(files, tmp_path, kind):
    """A call that is a mistake of the user."""
    old, new = map(embeddings.read, files)
    path, out = tmp_path / "m.safetensors", tmp_path / "out.parquet"
    found = conversion.fit(old, new)
    conversion.save(found, path)

    def applied(source, to=out):
        return lambda: conversion.apply(found, source, to, map_file=path)

    match kind:
        case "few people":
            return lambda: conversion.fit(old.take(np.arange(8)), new)
        case "name":
            return lambda: conversion.save(found, tmp_path / "m.pt")
        case "not there":
            return lambda: conversion.load(tmp_path / "none.safetensors")
        case "no map":
            from safetensors.numpy import save_file

            save_file({"x": np.zeros(2)}, tmp_path / "x.safetensors")
            return lambda: conversion.load(tmp_path / "x.safetensors")
        case "pipe":
            os.mkfifo(tmp_path / "pipe.safetensors")
            return lambda: conversion.load(tmp_path / "pipe.safetensors")
        case "NaN" | "infinity in the shift":
            matrix, shift = found.map.matrix.copy(), found.map.shift.copy()
            if kind == "NaN":
                matrix[2, 3] = np.nan
            else:
                shift[1] = -np.inf
            spoilt = dataclasses.replace(
                found, map=dataclasses.replace(found.map, matrix=matrix, shift=shift)
            )
            conversion.save(spoilt, path)
            return lambda: conversion.load(path)
        case "flipped":
            data = path.read_bytes()
            path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
            return lambda: conversion.load(path)
        case "record" | "list" | "deep":
            from safetensors.numpy import save_file

            told = {"record": '{"method": "ridge"}', "list": "[]", "deep": "[" * 100_000}[kind]
            tensors = {"matrix": found.map.matrix, "shift": found.map.shift}
            save_file(tensors, path, metadata={conversion.HEADER: told})
            return lambda: conversion.load(path)
        case "zero image" | "image beyond 32 bits":
            matrix, shift = np.eye(OLD), np.zeros(OLD)
            if kind == "zero image":
                matrix = np.zeros((OLD, NEW))
                shift = np.zeros(NEW)
            else:
                matrix = np.outer(1.01 * old.unit[41], np.ones(OLD)).astype(np.float64) * 1e38
            fitted = dataclasses.replace(found.map, matrix=matrix, shift=shift)
            spoilt = dataclasses.replace(found, map=fitted)
            return lambda: conversion.apply(spoilt, files[0], out, map_file=path)
        case "damaged":
            data = bytearray(files[0].read_bytes())
            data[data.rindex(b"\x28\xb5\x2f\xfd") + 20] ^= 1
            (tmp_path / "damaged.parquet").write_bytes(data)
            return applied(tmp_path / "damaged.parquet")
        case "dimension":
            other = embedding_set(dimension=5, model="old")
            return applied(stored(tmp_path, other, "other.parquet"))
        case "model":
            return applied(files[1])
        case "itself":
            return applied(files[0], files[0])
        case "kind":
            return applied(files[0], tmp_path / "out.csv")
        case "missing":
            return applied(tmp_path / "none.parquet")
        case "missing vectors":
            return lambda: conversion.read_vectors(tmp_path / "none.parquet")
        case "column":
            table = pq.read_table(files[0]).rename_columns(["item", "identity", "vec", "norm"])
            pq.write_table(table, tmp_path / "c.parquet")
            return applied(tmp_path / "c.parquet")
        case "cut":
            (tmp_path / "cut.parquet").write_bytes(files[0].read_bytes()[:200])
            return applied(tmp_path / "cut.parquet")
        case "empty":
            pq.write_table(pq.read_table(files[0]).slice(0, 0), tmp_path / "e.parquet")
            return applied(tmp_path / "e.parquet")
        case "zero":
            import pyarrow as pa

            table = pq.read_table(files[0])
            vectors = columns.matrix(table.column("embedding"), files[0]).copy()
            vectors[41] = 0
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), OLD)
            pq.write_table(table.set_column(2, "embedding", column), tmp_path / "z.parquet")
            return applied(tmp_path / "z.parquet")


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("few people", "too few for 5 folds"),
        ("name", "let it end in .safetensors"),
        ("not there", "make one with `embedlab map fit`"),
        ("no map", "no map of embedlab"),
        ("pipe", "it is no regular file"),
        ("NaN", "m.safetensors holds NaN or infinity and maps nothing"),
        ("infinity in the shift", "m.safetensors holds NaN or infinity and maps nothing"),
        ("flipped", "m.safetensors was changed or damaged since it was saved"),
        ("record", "no map of embedlab"),
        ("list", "no map of embedlab"),
        ("deep", "no map of embedlab"),
        (
            "zero image",
            r"old.parquet, row 0 .item 'item0000'.: the map makes of the vector one that is zero",
        ),
        ("image beyond 32 bits", r"old.parquet, row \d+ .item 'item\d+'.: the map makes .* not finite"),
        ("damaged", "cannot read .*damaged.parquet as Parquet .* it is damaged"),
        ("dimension", "vectors of 5 numbers, and the map from old takes 12"),
        ("model", "holds vectors of new, and the map is for old"),
        ("itself", "would be replaced by its own conversion"),
        ("kind", "end it in .parquet"),
        ("missing", "none.parquet"),
        ("missing vectors", "there is no file"),
        ("column", "no column 'embedding'"),
        ("cut", "cannot read .*cut.parquet as Parquet"),
        ("empty", "holds no vectors"),
        ("zero", r"row 41 \(item 'item0041'\)"),
    ],
)
def test_mistakes_are_told_in_a_line_and_nothing_is_half_written(files, tmp_path, kind, match):
    call = broken(files, tmp_path, kind)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(UserError, match=match) as told:
        call()
    assert "\n" not in str(told.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_renamed_model_can_be_forced(files, tmp_path):
    found = conversion.fit(*map(embeddings.read, files))
    conversion.save(found, tmp_path / "m.safetensors")
    renamed = stored(tmp_path, embedding_set(dimension=OLD, model="older"), "older.parquet")
    out = tmp_path / "out.parquet"
    assert conversion.apply(found, renamed, out, map_file=tmp_path / "m.safetensors", force=True) == 90


def test_a_map_to_a_model_called_by_a_path_has_a_file_name_all_the_same(files, tmp_path, capsys):
    old, new = files
    table = pq.read_table(new)
    head = {"model": "/models/new.onnx", "probe": "faces"}
    pq.write_table(table.replace_schema_metadata({"embedlab": json.dumps(head)}), new)
    path = tmp_path / "m.safetensors"
    assert cli.main(["map", "fit", str(old), str(new), "--map", str(path)]) == 0
    assert cli.main(["map", "apply", str(old), "--map", str(path)]) == 0
    assert "old-as-_models_new.onnx.parquet" in capsys.readouterr().out
    assert (tmp_path / "old-as-_models_new.onnx.parquet").is_file()


def test_a_map_that_gives_nothing_leaves_the_command_with_an_error(files, tmp_path, capsys):
    found = conversion.fit(*map(embeddings.read, files))
    nothing = dataclasses.replace(found.map, matrix=np.full_like(found.map.matrix, np.nan))
    path = tmp_path / "m.safetensors"
    conversion.save(dataclasses.replace(found, map=nothing), path)
    assert cli.main(["map", "apply", str(files[0]), "--map", str(path)]) == 2
    assert "holds NaN or infinity" in capsys.readouterr().err
    assert not list(tmp_path.glob("*-as-*"))


def test_converted_vectors_are_not_taken_for_those_of_the_old_network(files, tmp_path):
    old, new = map(embeddings.read, files)
    embeddings.write(files[0], old, {"model_sha256": "abc"})
    found = conversion.fit(old, new)
    conversion.save(found, tmp_path / "m.safetensors")
    conversion.apply(found, files[0], tmp_path / "out.parquet", map_file=tmp_path / "m.safetensors")
    head = embeddings.metadata(tmp_path / "out.parquet")
    assert "model_sha256" not in head
    assert head["mapped_by"]["source_sha256"] == "abc"
