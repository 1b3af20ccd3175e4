from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from embedlab.data import datasets
from embedlab.data.datasets import Dataset, UnreadableImage, open_dataset, read_image
from embedlab.errors import UserError


def picture(path, colour=(200, 100, 50), size=(12, 10), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


@pytest.fixture
def people(tmp_path):
    """Two people with two images each, in a folder ``faces``."""
    for person in ("ann", "bob"):
        for k in range(2):
            picture(tmp_path / "faces" / person / f"{person}_{k}.png", (10 * k, 0, len(person)))
    return tmp_path / "faces"


def write_index(people, lines, name="faces_ids.txt"):
    path = people.parent / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# Identity folders


def test_a_folder_lists_items_sorted_with_their_people(people):
    found = open_dataset(people)
    assert found.name == "faces"
    assert found.items == ("ann/ann_0.png", "ann/ann_1.png", "bob/bob_0.png", "bob/bob_1.png")
    assert found.identities == ("ann", "bob")
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.labels.dtype == np.int64
    assert len(found) == 4
    assert found.path(2) == people / "bob" / "bob_0.png"
    assert open_dataset(str(people)).items == found.items


def test_deeper_images_belong_to_the_outermost_folder(people):
    picture(people / "ann" / "2019" / "x.JPG")
    found = open_dataset(people)
    assert found.items[0] == "ann/2019/x.JPG"
    assert found.identities == ("ann", "bob")


def test_other_files_are_counted_and_left_alone(people):
    (people / "ann" / "notes.txt").write_text("hello")
    (people / "ann" / "._ann_0.png").write_text("a resource fork")
    picture(people / "cover.png")
    assert open_dataset(people).ignored == 3
    assert len(open_dataset(people)) == 4


def test_links_to_folders_are_followed_but_never_in_a_circle(people, tmp_path):
    picture(tmp_path / "elsewhere" / "c.png")
    (people / "cyd").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (people / "ann" / "again").symlink_to(people, target_is_directory=True)
    found = open_dataset(people)
    assert found.identities == ("ann", "bob", "cyd")
    assert len(found) == 5


def test_a_folder_name_that_no_probe_can_bear_is_made_one(people):
    moved = people.rename(people.parent / "my faces@home")
    assert open_dataset(moved).name == "my_faces_home"
    assert open_dataset(moved, name="mine").name == "mine"


@pytest.mark.parametrize("name", ["a@32", "a b", ""])
def test_a_bad_name_is_refused(people, name):
    with pytest.raises(UserError, match="cannot be the name of a data set"):
        open_dataset(people, name)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist: name a folder of people"):
        open_dataset(tmp_path / "nowhere")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no images in folders of people \(0 other files\)"):
        open_dataset(tmp_path)


def test_images_without_folders_of_people_are_refused(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"holds no images in folders of people \(1 other files\)"):
        open_dataset(tmp_path)


def test_one_person_only_is_refused(tmp_path):
    picture(tmp_path / "ann" / "a.png")
    with pytest.raises(UserError, match="images of 'ann' only: at least two people are needed to compare"):
        open_dataset(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(people, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(datasets.os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cannot list .*faces: Permission denied"):
        open_dataset(people)


def test_a_file_name_that_is_not_utf8_is_named(people):
    picture(people / "ann" / "odd.png").rename(people / "ann" / "odd\udcff.png")
    with pytest.raises(UserError, match=r"whose name is not UTF-8, .*odd"):
        open_dataset(people)


# Index files


def test_folder_and_index_give_the_same_items(people):
    folder = open_dataset(people)
    index = open_dataset(
        write_index(
            people, [f"faces/{item} {label}" for item, label in zip(folder.items, folder.labels, strict=True)]
        )
    )
    assert index.name == folder.name == "faces"
    assert index.items == folder.items
    assert index.identities == folder.identities
    assert index.labels.tolist() == folder.labels.tolist()
    assert index.path(3).read_bytes() == folder.path(3).read_bytes()
    assert index.fingerprint == folder.fingerprint


def test_an_index_under_another_name_still_finds_its_images(people):
    index = open_dataset(write_index(people, ["faces/ann/ann_0.png 5", "faces/bob/bob_1.png 7"], "some.txt"))
    assert index.name == "some"
    assert index.items == ("faces/ann/ann_0.png", "faces/bob/bob_1.png")
    assert index.identities == ("faces/ann", "faces/bob")
    assert index.path(0).is_file()


def test_labels_name_people_where_folders_do_not(people):
    index = open_dataset(write_index(people, ["faces/ann/ann_0.png 5", "faces/ann/ann_1.png 7"]))
    assert index.identities == ("5", "7")


def test_paths_may_have_spaces_tabs_and_dots(people):
    picture(people / "ann lee" / "a 1.png")
    index = open_dataset(
        write_index(people, ["\ufefffaces/ann lee/a 1.png\t5", "", "./faces/bob/bob_0.png   7"])
    )
    assert index.items == ("ann lee/a 1.png", "bob/bob_0.png")
    assert index.identities == ("ann lee", "bob")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["faces/ann/ann_0.png 1", "faces/bob/bob_0.png"], "faces_ids.txt, line 2: .* has no label"),
        (["faces/ann/ann_0.png 1", "faces/ann/ann_0.png 1"], "line 2: .* stands in line 1 already"),
        (["faces/ann/ann_0.png 1", "faces/./ann/ann_0.png 1"], "line 2: .* stands in line 1 already"),
        (["faces/ann/ann_9.png 1"], "line 1: there is no file .*ann_9.png"),
        (["../x.png 1"], "line 1: '../x.png' leads out of"),
        (["/etc/x.png 1"], "line 1: '/etc/x.png' leads out of"),
        (["", ""], "lists no images"),
        (["faces/ann/ann_0.png 1", "faces/ann/ann_1.png 1"], "at least two people are needed"),
    ],
)
def test_a_wrong_line_is_named(people, lines, message):
    with pytest.raises(UserError, match=message):
        open_dataset(write_index(people, lines))


def test_an_index_that_is_no_text_is_refused(people):
    path = people.parent / "faces_ids.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"cannot read .*faces_ids.txt as a list of images"):
        open_dataset(path)


# Fingerprints


def test_the_fingerprint_sees_contents_names_and_people(people):
    before = open_dataset(people).fingerprint
    assert open_dataset(people).fingerprint == before
    picture(people / "bob" / "bob_1.png", (0, 0, 99))
    changed = open_dataset(people).fingerprint
    (people / "bob" / "bob_1.png").rename(people / "bob" / "bob_2.png")
    renamed = open_dataset(people).fingerprint
    (people / "bob" / "bob_2.png").rename(people / "ann" / "bob_2.png")
    moved = open_dataset(people).fingerprint
    assert len({before, changed, renamed, moved}) == 4


def test_the_fingerprint_does_not_depend_on_the_place_or_on_blocks(people, monkeypatch):
    before = open_dataset(people).fingerprint
    monkeypatch.setattr(datasets, "HASH_BLOCK", 1)
    moved = people.rename(people.parent / "elsewhere")
    assert open_dataset(moved).fingerprint == before


def test_a_file_that_went_missing_changes_the_fingerprint_and_stops_nothing(people):
    whole = open_dataset(people).fingerprint
    found = open_dataset(people)
    found.path(0).unlink()
    assert found.fingerprint != whole


def test_a_dataset_checks_its_labels():
    with pytest.raises(TypeError, match=r"Dataset\.labels"):
        Dataset("x", None, ("a",), np.zeros(1), ("p",))


# Images


def test_colour_comes_back_as_it_was(tmp_path, rng):
    pixels = rng.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)
    read[0, 0] = 1  # writable, so that torch may take it as it is


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_grey_of_eight_and_sixteen_bits_agree(tmp_path, rng):
    grey = rng.integers(0, 256, (9, 14), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    (tmp_path / "16.pgm").write_bytes(b"P5 14 9 65535\n" + (grey.astype(">u2") * 257).tobytes())
    for name in ("8.png", "16.png", "16.pgm"):
        np.testing.assert_array_equal(
            read_image(tmp_path / name), np.repeat(grey[..., None], 3, axis=2), name
        )


def test_palettes_and_bilevel_images_become_rgb(tmp_path, rng):
    pixels = rng.integers(0, 2, (9, 14, 3), dtype=np.uint8) * 255
    image = Image.fromarray(pixels)
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    image.convert("1").save(tmp_path / "1.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), pixels)
    np.testing.assert_array_equal(
        read_image(tmp_path / "1.png"), np.asarray(image.convert("1").convert("RGB"))
    )


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "c.tif")[4, 4], (255, 0, 0))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_mid_grey(tmp_path, mode):
    image = Image.new("RGBA", (10, 10), (255, 255, 255, 255))
    image.paste((255, 0, 0, 0), (0, 0, 5, 10))
    if mode == "P":
        image = image.quantize(4)
    elif mode == "LA":
        image = image.convert("LA")
    image.save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read[0, 0], (128, 128, 128))
    np.testing.assert_array_equal(read[0, 9], (255, 255, 255))


def test_a_palette_with_a_transparent_colour_is_read_without_a_warning(tmp_path):
    image = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10) % 4).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save(tmp_path / "a.png", transparency=b"\xff\xff\xff\x00")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, [0, 3]], [(255, 0, 0), (128, 128, 128)])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(tmp_path, rng, orientation):
    from PIL import ImageOps

    image = Image.fromarray(rng.integers(0, 256, (9, 14, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_a_broken_exif_block_does_not_cost_the_image(tmp_path):
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01\x03"
    picture(tmp_path / "a.jpg", (128, 128, 128), exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (10, 12, 3)


@pytest.mark.parametrize(("size", "said"), [((1, 1), "1 x 1"), ((7, 50), "7 x 50"), ((50, 7), "50 x 7")])
def test_images_too_small_for_a_face_are_refused(tmp_path, size, said):
    picture(tmp_path / "a.png", size=size)
    with pytest.raises(UnreadableImage, match=f"{said} pixels is too small to hold a face: at least 8"):
        read_image(tmp_path / "a.png")


def test_images_of_the_smallest_side_are_read(tmp_path):
    assert read_image(picture(tmp_path / "a.png", size=(8, 8))).shape == (8, 8, 3)


def bomb(path, side):
    """A PNG of a few bytes that says it is ``side`` pixels wide and high."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("side", [8_001, 11_000, 40_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, side):
    with pytest.raises(UnreadableImage, match="too large to be one face: at most 64 million pixels"):
        read_image(bomb(tmp_path / "a.png", side))


def test_a_bomb_raises_no_warning_where_warnings_are_off(tmp_path, recwarn):
    import warnings

    warnings.simplefilter("always")
    with pytest.raises(UnreadableImage, match="too large"):
        read_image(bomb(tmp_path / "a.png", 11_000))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "no image that PIL knows"),
        (b"\x89PNG\r\n\x1a\n", "broken|no image"),
    ],
)
def test_files_that_are_no_images_are_refused(tmp_path, content, message):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage, match=message):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_truncated_images_are_refused_at_every_length(tmp_path, rng, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    for kept in np.linspace(0, len(whole) * 0.8, 12).astype(int):
        path.write_bytes(whole[:kept])
        with pytest.raises(UnreadableImage, match=r"broken image|no image|empty"):
            read_image(path)


def test_damaged_images_are_read_or_refused_but_never_a_bug(tmp_path, rng):
    path = tmp_path / "a.png"
    for suffix in ("jpg", "png", "tif", "webp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 4)] = rng.integers(0, 256, 4)
            path.write_bytes(damaged.tobytes())
            with suppress(UnreadableImage):
                assert read_image(path).dtype == np.uint8


def test_pixels_of_no_known_scale_are_refused(tmp_path):
    Image.fromarray(np.ones((9, 9), np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(np.full((9, 9), 70_000, np.int32)).save(tmp_path / "i.tif")
    with pytest.raises(UnreadableImage, match="floating-point pixels, whose scale is not known"):
        read_image(tmp_path / "f.tif")
    with pytest.raises(UnreadableImage, match="32-bit integers, whose scale is not known"):
        read_image(tmp_path / "i.tif")


def test_a_file_that_cannot_be_opened_gives_the_systems_reason(tmp_path):
    with pytest.raises(UnreadableImage, match="cannot be opened: No such file"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UnreadableImage, match="cannot be opened: Is a directory"):
        read_image(tmp_path / "folder.png")


def test_the_real_faces_are_listed(shared_data):
    found = open_dataset(shared_data / "lfw144")
    assert (len(found), len(found.identities)) == (13_233, 5_749)
    assert read_image(found.path(0)).shape == (144, 144, 3)


def test_real_grey_faces_are_read(shared_data):
    found = open_dataset(shared_data / "orl")
    assert (len(found), len(found.identities)) == (400, 40)
    assert read_image(found.path(0)).shape == (112, 92, 3)


def test_an_open_file_is_read_as_a_path_is(people, tmp_path):
    import io

    path = people / "ann" / "ann_0.png"
    np.testing.assert_array_equal(read_image(io.BytesIO(path.read_bytes())), read_image(path))
    np.testing.assert_array_equal(open_dataset(people).image(0), read_image(path))
    with pytest.raises(UnreadableImage, match="no image that PIL knows"):
        read_image(io.BytesIO(b""))
