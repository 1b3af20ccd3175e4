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


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_index_from_another_system_gives_the_same_items(people, end, mark):
    lines = [f"{mark}faces\\ann\\ann_0.png 5", ".\\faces\\bob\\bob_0.png\t7", "faces/bob\\bob_1.png 7", ""]
    path = people.parent / "faces_ids.txt"
    path.write_bytes(end.join(lines).encode())
    index = open_dataset(path)
    assert index.items == ("ann/ann_0.png", "bob/bob_0.png", "bob/bob_1.png")
    assert index.identities == ("ann", "bob")


def test_a_backslash_in_a_name_is_kept_where_there_is_such_a_file(people):
    (people / "ann" / "ann_0.png").rename(people / "ann\\0.png")
    index = open_dataset(write_index(people, ["faces/ann\\0.png 1", "faces/bob/bob_0.png 2"]))
    assert index.items == ("ann\\0.png", "bob/bob_0.png")


@pytest.mark.parametrize("between", [" ", "\t", "   "])
def test_labels_may_be_names_of_several_words(people, between):
    lines = [f"faces/{item}{between}{who}" for item, who in LABELLED]
    index = open_dataset(write_index(people, lines))
    assert index.identities == ("Ann Lee", "Bob van Dyk")
    assert index.labels.tolist() == [0, 1, 0]


LABELLED = [("ann/ann_0.png", "Ann Lee"), ("bob/bob_0.png", "Bob van Dyk"), ("bob/bob_1.png", "Ann Lee")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["C:\\faces\\ann\\ann_0.png 1"], "line 1: 'C:/faces/ann/ann_0.png' leads out of"),
        (["..\\x.png 1"], "line 1: '../x.png' leads out of"),
        (["faces/ann/ann_0.png 1", "faces\\ann\\ann_0.png 1"], "line 2: .* stands in line 1 already"),
        (["faces/ann/ann_0.png\t"], "line 1: .* has no label"),
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
        (b"hello", "no image that is read"),
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


NO_SCALE = "so that their scale is not known|whose scale is not known"


def drawn(bits, rng, *, shape=(9, 14)):
    """Numbers of so many bits, the least and the largest among them, and what they are with eight."""
    whole = rng.integers(0, 1 << bits, shape).astype(np.int64)
    whole.flat[0], whole.flat[1] = 0, (1 << bits) - 1
    return whole, (whole >> (bits - 8)).astype(np.uint8)


def written(path, array):
    """Write numbers of 16 bits, grey or in colours, as a PNG or an uncompressed TIFF."""
    import struct
    import zlib

    height, width, *planes = array.shape
    channels = planes[0] if planes else 1
    if path.suffix == ".png":
        rows = b"".join(b"\0" + row.tobytes() for row in array.astype(">u2"))
        colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
        parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        chunks = [
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        ]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
        return path
    data = array.astype("<u2").tobytes()
    photometric = {1: 1, 3: 2, 4: 5}[channels]
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, 0), (259, 3, 1, 1)]
    tags += [(262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, height)]
    tags += [(279, 4, 1, len(data))]
    start = 8 + len(data)
    depths = struct.pack(f"<{channels}H", *[16] * channels)
    after = start + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, kind, count, value in tags:
        if tag == 258:
            value = after if len(depths) > 4 else int.from_bytes(depths, "little")
        entries += struct.pack("<HHII", tag, kind, count, value)
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, start) + data
        + struct.pack("<H", len(tags)) + entries + bytes(4) + depths
    )  # fmt: skip
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("shape", [(9, 14), (9, 14, 3)])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_few_bits_in_a_file_of_sixteen_are_never_read_as_black(tmp_path, rng, name, shape, bits):
    whole, expected = drawn(bits, rng, shape=shape)
    path = written(tmp_path / name, whole)
    if bits < 16:
        with pytest.raises(UnreadableImage, match=NO_SCALE):
            read_image(path)
    else:
        expected = expected if len(shape) == 3 else np.repeat(expected[..., None], 3, axis=2)
        np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("channels", [2, 4])
def test_sixteen_bits_beside_an_alpha_channel_are_judged_without_it(tmp_path, rng, channels):
    whole, expected = drawn(16, rng, shape=(9, 14, channels))
    whole[..., -1] = 65_535
    colours = np.broadcast_to(expected[..., :-1], (9, 14, 3))
    np.testing.assert_array_equal(read_image(written(tmp_path / "a.png", whole)), colours)
    whole[..., :-1] >>= 4
    with pytest.raises(UnreadableImage, match="the upper byte of 16-bit pixels that end at 15 of 255"):
        read_image(written(tmp_path / "a.png", whole))


def test_a_grey_map_says_its_own_scale(tmp_path, rng):
    whole, expected = drawn(12, rng)
    (tmp_path / "a.pgm").write_bytes(b"P5 14 9 4095\n" + whole.astype(">u2").tobytes())
    read = read_image(tmp_path / "a.pgm")
    assert np.abs(read[..., 0].astype(int) - expected).max() <= 1
    assert read.max() == 255
    (tmp_path / "b.pgm").write_bytes(b"P5 14 9 65535\n" + whole.astype(">u2").tobytes())
    with pytest.raises(UnreadableImage, match=r"16-bit pixels that end at 4,095 of 65,535"):
        read_image(tmp_path / "b.pgm")


def test_sixteen_bits_of_which_zero_is_white(tmp_path, rng):
    whole, expected = drawn(16, rng)
    Image.fromarray(whole.astype(np.uint16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], 255 - expected)
    np.testing.assert_array_equal(read_image(written(tmp_path / "b.tif", whole))[..., 0], expected)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
@pytest.mark.parametrize("most", [1, 255, 4095, 65_535])
def test_numbers_of_32_bits_are_refused_whatever_they_are(tmp_path, kind, most):
    pixels = np.linspace(0, most, 126).reshape(9, 14).astype(kind)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match=NO_SCALE):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("signed", [8, 16])
def test_signed_numbers_are_refused(tmp_path, rng, signed):
    pixels = rng.integers(0, 100, (9, 14)).astype(np.uint8 if signed == 8 else np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={339: 2})
    with pytest.raises(UnreadableImage, match="signed integers, whose scale is not known"):
        read_image(tmp_path / "a.tif")


MODES = {
    "1": {"png", "tif", "bmp", "gif"},
    "L": {"png", "tif", "bmp", "jpg", "pgm", "webp", "gif"},
    "P": {"png", "tif", "bmp", "gif"},
    "LA": {"png", "tif"},
    "PA": {"tif"},
    "RGB": {"png", "tif", "bmp", "jpg", "ppm", "webp"},
    "RGBA": {"png", "tif", "webp", "bmp"},
    "RGBX": {"tif"},
    "CMYK": {"jpg", "tif"},
    "YCbCr": {"jpg", "tif"},
    "LAB": {"tif"},
    "I": {"tif"},
    "I;16": {"png", "tif"},
    "I;16B": {"tif"},
    "I;16L": set(),
    "I;16N": set(),
    "F": {"tif"},
    "HSV": set(),
    "RGBa": set(),
    "La": set(),
}
REFUSED = {("LAB", "tif"), ("F", "tif"), ("I", "tif")}


def block(mode):
    """A picture of four large patches that any mode and any compression keep."""
    if mode.startswith(("I", "F")):
        grey = np.kron(np.array([[0, 80], [160, 255]]), np.ones((16, 16)))
        if mode == "F":
            return Image.fromarray((grey / 255).astype(np.float32)), grey
        kind = {"I": np.int32, "I;16": np.uint16, "I;16B": ">u2"}[mode]
        return Image.fromarray((grey * 257).astype(kind)), grey
    grey = np.kron(np.array([[0, 255], [255, 0]]), np.ones((16, 16)))
    base = Image.fromarray(grey.astype(np.uint8))
    if mode == "PA":
        base = base.convert("P")
    elif mode == "LAB":
        return Image.fromarray(np.repeat(grey[..., None], 3, 2).astype(np.uint8), "RGB"), grey
    return base.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "HSV") else base.convert(mode), grey


@pytest.mark.parametrize(
    ("mode", "suffix"), [(mode, suffix) for mode, kinds in MODES.items() for suffix in sorted(kinds)]
)
def test_a_picture_of_every_mode_is_right_or_refused(tmp_path, mode, suffix):
    image, grey = block(mode)
    path = tmp_path / f"a.{suffix}"
    if mode == "LAB":
        image.save(path, tiffinfo={262: 8})
    else:
        image.save(path)
    if (mode, suffix) in REFUSED:
        with pytest.raises(UnreadableImage, match="not known|not converted"):
            read_image(path)
        return
    np.testing.assert_allclose(read_image(path).astype(float), np.repeat(grey[..., None], 3, 2), atol=3)


def test_every_mode_of_pil_is_in_the_table():
    assert set(Image.MODES) <= set(MODES)


@pytest.mark.parametrize("premultiplied", [1, 2])
def test_transparency_that_is_multiplied_in_already_is_undone(tmp_path, premultiplied):
    """An opaque and a half transparent pixel of the same white, as TIFFs store them."""
    import struct

    straight = np.zeros((9, 14, 2), np.uint8)
    straight[..., 0], straight[..., 1], straight[:, 7:, 1] = 255, 255, 128
    if premultiplied == 1:
        straight[:, 7:, 0] = 128
    Image.fromarray(straight, "LA").save(tmp_path / "a.tif")
    as_saved, wanted = (struct.pack("<HHIHH", 338, 3, 1, kind, 0) for kind in (2, premultiplied))
    whole = (tmp_path / "a.tif").read_bytes()
    assert whole.count(as_saved) == 1
    (tmp_path / "a.tif").write_bytes(whole.replace(as_saved, wanted))
    read = read_image(tmp_path / "a.tif")
    np.testing.assert_allclose(read[0, [0, 13]], [[255] * 3, [192] * 3], atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
@pytest.mark.parametrize("through", ["path", "file"])
def test_tiffs_are_turned_once(tmp_path, rng, orientation, compression, through):
    import io

    upright = rng.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    turns = [None, *(Image.Transpose(turn) for turn in (0, 3, 1, 5, 2, 6, 4))]
    turn = turns[orientation - 1]
    # What is stored is the upright picture, turned so that the orientation undoes it.
    stored = Image.fromarray(upright) if turn is None else Image.fromarray(upright).transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.tif", exif=exif, compression=compression)
    place = tmp_path / "a.tif"
    found = read_image(place if through == "path" else io.BytesIO(place.read_bytes()))
    np.testing.assert_array_equal(found, upright)


def test_a_tiff_that_says_its_orientation_twice_is_turned_once(tmp_path, rng):
    upright = rng.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    said = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "a.tif", tiffinfo={274: 6, 700: said})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), upright)


# What must not be opened


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 20 20
%%EndComments
showpage
%%EOF
"""


def test_postscript_under_a_pictures_name_starts_nothing(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("x.png", "x.jpg", "x.tif"):
        (tmp_path / name).write_bytes(POSTSCRIPT)
        with pytest.raises(UnreadableImage, match="a PostScript file, and no image that is read"):
            read_image(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("format", ["ICO", "PCX", "TGA", "SGI", "PDF", "DDS"])
def test_other_formats_are_not_opened_whatever_they_are_called(tmp_path, format):
    Image.new("RGB", (32, 32), (9, 99, 199)).save(tmp_path / "a.png", format)
    with pytest.raises(UnreadableImage, match="no image that is read"):
        read_image(tmp_path / "a.png")


def test_pictures_are_opened_by_their_contents_among_the_formats(tmp_path):
    for format in datasets.FORMATS:
        Image.new("L", (32, 32), 77).save(tmp_path / "a.png", format)
        np.testing.assert_allclose(read_image(tmp_path / "a.png"), 77, atol=2)
    Image.new("L", (32, 32), 77).save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[
        Image.new("L", (32, 32), 11)
    ])  # fmt: skip
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg"), 77, atol=2)


def test_nothing_opens_images_of_every_format():
    """PIL opens some formats by starting further programs, so that a list stands at every call."""
    import ast
    from pathlib import Path

    calls, unlisted = 0, []
    for path in sorted(Path(datasets.__file__).parents[1].rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "PIL.Image import" not in text, path.name
        for node in ast.walk(ast.parse(text)) if "Image.open" in text else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Image.open"):
                calls += 1
                if not any(given.arg == "formats" for given in node.keywords):
                    unlisted.append(f"{path.name}:{node.lineno}")
    assert calls
    assert not unlisted


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
    with pytest.raises(UnreadableImage, match="the file is empty"):
        read_image(io.BytesIO(b""))
    with pytest.raises(UnreadableImage, match="a web page, not a file, and no image that is read"):
        read_image(io.BytesIO(b"<!DOCTYPE html><html></html>"))
