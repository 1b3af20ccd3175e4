import pickle

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.formats.protocols import PairList, read, write, write_lfw
from tests.heard import heard


def written(tmp_path, text):
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("folds", [None, np.array([1, 2, 10])])
def test_what_is_written_is_read_back(tmp_path, folds):
    pairs = PairList(
        ("a/1.png", 'b "x", y.png', "ü.png"), ("b", "c", "d"), np.array([True, False, True]), folds
    )
    write(tmp_path / "p.csv", pairs)
    back = read(tmp_path / "p.csv")
    assert (back.a, back.b) == (pairs.a, pairs.b)
    assert back.same.tolist() == [True, False, True]
    assert back.same.dtype == bool
    assert len(back) == 3
    if folds is None:
        assert back.folds is None
    else:
        assert back.folds.tolist() == folds.tolist()


def test_columns_may_stand_in_any_order_and_truth_in_any_words(tmp_path):
    text = "\ufeffsame,note,image_b,image_a\r\nTrue,x,b,a\r\n\r\n0,y,c,a\r\nyes,z,d,a\r\nNO,,e,a\r\n"
    back = read(written(tmp_path, text))
    assert back.a == ("a", "a", "a", "a")
    assert back.b == ("b", "c", "d", "e")
    assert back.same.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pairs.csv is empty"),
        ("image_a,image_b\na,b\n", "has no column 'same'"),
        ("image_a,image_b,same\n", "lists no pairs"),
        ("image_a,image_b,same\na,b,1\na,b\n", "pairs.csv, line 3: 2 fields where the head has 3"),
        ("image_a,image_b,same\na,b,maybe\n", "line 2: same is 'maybe': write 1 or 0"),
        ("image_a,image_b,same\na,,1\n", "line 2: an image has no name"),
        ("image_a,image_b,same\na,b,1\n\na,a,1\n", "line 4: 'a' is paired with itself"),
        ("image_a,image_b,same,fold\na,b,1,x\n", "line 2: fold is 'x': write a whole number"),
        (f"image_a,image_b,same,fold\na,b,1,{'1' + '0' * 30}\n", "line 2: fold is '1000"),
        ('image_a,image_b,same\na,b,"1\x00' + "x" * 200_000, "line 2: same is '1"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone.csv as a list of pairs"):
        read(tmp_path / "gone.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match=r"cannot read .*b.csv as a list of pairs"):
        read(tmp_path / "b.csv")


def test_a_record_checks_itself():
    with pytest.raises(UserError, match="list of pairs is empty"):
        PairList((), (), np.array([], dtype=bool))
    with pytest.raises(ValueError, match="differ in length"):
        PairList(("a",), ("b", "c"), np.array([True]))
    with pytest.raises(TypeError, match=r"PairList\.same"):
        PairList(("a",), ("b",), np.array([1]))


# LFW's pairs.txt

LFW = "2\t2\nann 1 2\nbob\t2\t10\nann 1 bob 2\nbob 3 cyd 1\n\ncyd 1 2\ncyd 1 3\ncyd 1 dan 1\ndan 2 ann 1\n"


def test_pairs_txt_names_items_as_identity_folders_do(tmp_path):
    found = read(written(tmp_path, LFW))
    assert found.a[:4] == ("ann/ann_0001", "bob/bob_0002", "ann/ann_0001", "bob/bob_0003")
    assert found.b[:4] == ("ann/ann_0002", "bob/bob_0010", "bob/bob_0002", "cyd/cyd_0001")
    assert found.same.tolist() == [True, True, False, False] * 2
    assert found.folds.tolist() == [0] * 4 + [1] * 4


def test_the_pairs_of_a_development_view_have_no_folds(tmp_path):
    found = read(written(tmp_path, "1\r\nann 1 2\r\nann 1 bob 2\r\n"))
    assert found.same.tolist() == [True, False]
    assert found.folds is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dan 2 ann 1\n", "", "holds 7 pairs where its first line, '2\\\\t2', announces 8"),
        ("2\t2", "1 2", "holds 8 pairs where its first line, '1 2', announces 4"),
        ("2\t2", "0 2", "line 1: '0 2' announces no pairs"),
        ("bob\t2\t10", "bob 2", "line 3: 'bob 2' stands where a pair of one person"),
        ("bob\t2\t10", "bob 2 cyd 1", "line 3: 'bob 2 cyd 1' stands where a pair of one person, .* .fold 1"),
        ("cyd 1 dan 1", "cyd 1 2", "line 9: 'cyd 1 2' stands where a pair of two people, .* .fold 2"),
        ("cyd 1 3", "cyd 1 1", "line 8: 'cyd 1 1' is no pair of two images"),
        ("dan 2 ann 1", "dan 2 dan 1", "line 10: 'dan 2 dan 1' is no pair of two people"),
        ("cyd 1 3", "cyd 1 x", "line 8: 'x' is no number of an image of cyd"),
        ("cyd 1 3", f"cyd 1 {'1' * 5000}", "is no number of an image of cyd"),
        ("2\t2", f"{'1' * 5000}", "has no column 'image_a'"),
    ],
)
def test_a_wrong_pairs_txt_is_named_with_its_line(tmp_path, old, new, message):
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, LFW.replace(old, new)))


def test_the_whole_of_lfw_finds_its_images(shared_data):
    from embedlab.data.datasets import open_dataset

    found = read(shared_data / "lfw144-pairs.txt")
    assert len(found) == 6000
    assert np.bincount(found.folds).tolist() == [600] * 10
    assert found.same.sum() == 3000
    dataset = open_dataset(shared_data / "lfw144")
    a, b = found.rows(dataset.items)
    assert min(a.min(), b.min()) >= 0
    np.testing.assert_array_equal(dataset.labels[a] == dataset.labels[b], found.same)


# InsightFace's .bin


@pytest.mark.parametrize("n", [10, 23])
def test_a_bin_has_the_folds_of_insightface(tmp_path, n):
    from sklearn.model_selection import KFold

    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([bytes([k]) for k in range(2 * n)], [k % 2 == 0 for k in range(n)])))
    found = read(path)
    for fold, (_, judged) in enumerate(KFold(10, shuffle=False).split(np.arange(n))):
        np.testing.assert_array_equal(np.flatnonzero(found.folds == fold), judged)
    assert found.same.tolist() == [k % 2 == 0 for k in range(n)]
    renamed = path.rename(tmp_path / "lfw")
    assert read(renamed).a == found.a


def test_a_bin_of_fewer_pairs_than_folds_has_none(tmp_path):
    (tmp_path / "s.bin").write_bytes(pickle.dumps(([b"a", b"b"], [True])))
    assert read(tmp_path / "s.bin").folds is None


# Finding the items


def test_items_are_found_with_and_without_their_suffix():
    pairs = PairList(("a/a_1", "a/a_1.png", "x"), ("b.b/b", "gone", "a/a_1"), np.array([True, False, True]))
    a, b = pairs.rows(["b.b/b.jpg", "a/a_1.png", "x"])
    assert a.tolist() == [1, 1, 2]
    assert b.tolist() == [0, -1, 1]


def test_a_name_that_means_two_items_is_told_only_where_it_is_used():
    items = ["a.png", "a.jpg", "b.png"]
    assert PairList(("a.png",), ("b",), np.array([True])).rows(items)[0].tolist() == [0]
    with pytest.raises(UserError, match="the pairs name 'a', and there are 'a.png' and 'a.jpg'"):
        PairList(("a",), ("b",), np.array([True])).rows(items)


def test_random_text_is_told_and_never_crashes(tmp_path):
    rng = np.random.default_rng(0)
    letters = [*'0123456789 \t\n,"abé', "image_a,image_b,same\n", "1 1\n"]
    for _ in range(400):
        text = "".join(rng.choice(letters, rng.integers(0, 60)))
        with pytest.raises(UserError):
            read(written(tmp_path, text))
        (tmp_path / "pairs.csv").write_bytes(rng.bytes(50))
        with pytest.raises(UserError):
            read(tmp_path / "pairs.csv")


# Writing pairs.txt


def test_pairs_txt_comes_back_as_it_was_read(tmp_path):
    pairs = read(written(tmp_path, LFW))
    write_lfw(tmp_path / "again.txt", pairs)
    expected = LFW.replace("\n\n", "\n").splitlines()
    assert (tmp_path / "again.txt").read_text().splitlines() == ["\t".join(line.split()) for line in expected]
    back = read(tmp_path / "again.txt")
    assert (back.a, back.b) == (pairs.a, pairs.b)
    assert back.folds.tolist() == pairs.folds.tolist()


def test_the_whole_of_lfw_comes_back_byte_for_byte(tmp_path, shared_data):
    write_lfw(tmp_path / "again.txt", read(shared_data / "lfw144-pairs.txt"))
    assert (tmp_path / "again.txt").read_text() == (shared_data / "lfw144-pairs.txt").read_text()


def test_pairs_are_put_in_the_order_of_the_format(tmp_path):
    pairs = PairList(
        ("ann/ann_0001.jpg", "ann/ann_0001.jpg", "bob/bob_0001", "Al_B/Al_B_0012.png"),
        ("bob/bob_0002.jpg", "ann/ann_0003.jpg", "cyd/cyd_0001", "Al_B/Al_B_12345"),
        np.array([False, True, False, True]),
        np.array([9, 9, 4, 4]),
    )
    write_lfw(tmp_path / "p.txt", pairs)
    text = "2\t1\nAl_B\t12\t12345\nbob\t1\tcyd\t1\nann\t1\t3\nann\t1\tbob\t2\n"
    assert (tmp_path / "p.txt").read_bytes() == text.encode()
    back = read(tmp_path / "p.txt")
    assert back.rows(["Al_B/Al_B_0012.png"])[0].tolist() == [0, -1, -1, -1]


def test_pairs_without_folds_are_a_development_view(tmp_path):
    write_lfw(tmp_path / "p.txt", read(written(tmp_path, "1\nann 1 2\nann 1 bob 2\n")))
    assert (tmp_path / "p.txt").read_text() == "1\nann\t1\t2\nann\t1\tbob\t2\n"


@pytest.mark.parametrize(
    ("a", "b", "same", "folds", "message"),
    [
        (["a/a_0001", "x.png"], ["a/a_0002", "b/b_0001"], [1, 0], None, "pair 2: 'x.png' is not called"),
        (["a/a_0001"], ["a/b_0002"], [1], None, "pair 1: 'a/b_0002' is not called name/name_0001"),
        (["a/a_001"], ["a/a_0002"], [1], None, "'a/a_001' is not called"),
        (["a/a_00001"], ["a/a_0002"], [1], None, "'a/a_00001' is not called"),
        (["a\tb/a\tb_0001"], ["c/c_0002"], [0], None, r"'a\\tb/a\\tb_0001' is not called"),
        (["a/a_0001"], ["b/b_0001"], [1], None, "are no two images of one person by their names"),
        (["a/a_0001"], ["a/a_0002"], [0], None, "are no two images of two people by their names"),
        (["a/a_0001"], ["a/a_0001.png"], [1], None, "are no two images of one person by their names"),
        (["a/a_0001"], ["a/a_0002"], [1], None, "fold 0 holds 1 pairs of one person and 0 of two people"),
        (
            ["a/a_0001"] * 4,
            ["a/a_0002", "b/b_0001"] * 2,
            [1, 0] * 2,
            [0, 0, 0, 7],
            "fold 0 holds 2 .* and 1 of",
        ),
        (
            ["a/a_0001"] * 6,
            ["a/a_0002", "b/b_0001"] * 3,
            [1, 0] * 3,
            [0] * 2 + [7] * 4,
            "fold 7 holds 2 .* 2 of",
        ),
    ],
)
def test_pairs_that_the_format_cannot_express_are_refused(tmp_path, a, b, same, folds, message):
    pairs = PairList(tuple(a), tuple(b), np.array(same, bool), None if folds is None else np.array(folds))
    with pytest.raises(UserError, match=message):
        write_lfw(tmp_path / "p.txt", pairs)
    assert not list(tmp_path.iterdir())


# Names with spaces, pairs twice


def test_tabs_separate_names_that_hold_spaces(tmp_path):
    text = "1\t1\nBob Stone\t1\t2\nBob Stone\t1\tCy Lee\t1\n"
    found = read(written(tmp_path, text))
    assert found.a == ("Bob Stone/Bob Stone_0001",) * 2
    assert found.b == ("Bob Stone/Bob Stone_0002", "Cy Lee/Cy Lee_0001")
    write_lfw(tmp_path / "again.txt", found)
    assert (tmp_path / "again.txt").read_text() == text
    assert found.rows(["Bob Stone/Bob Stone_0001.jpg"])[0].tolist() == [0, 0]
    with pytest.raises(
        UserError, match=r"line 2: 'Bob Stone 1 2' stands where .* put tabs between the fields"
    ):
        read(written(tmp_path, text.replace("\t", " ")))


@pytest.mark.parametrize("again", ["a,b,1", "b,a,yes", " b ,a,TRUE"])
def test_a_pair_that_is_listed_twice_is_said_and_kept(tmp_path, again):
    with heard() as lines:
        found = read(written(tmp_path, f"image_a,image_b,same\na,b,1\na,c,0\n{again}\n"))
    assert len(found) == 3
    assert lines[-1].endswith(
        "1 of 3 pairs stand there already, such as 'a' and 'b'; each counts as often as it is listed"
    )


def test_a_pair_of_pairs_txt_that_is_listed_twice_is_said(tmp_path):
    with heard() as lines:
        assert len(read(written(tmp_path, LFW.replace("cyd 1 3", "cyd 2 1")))) == 8
    assert "1 of 8 pairs stand there already, such as 'cyd/cyd_0001' and 'cyd/cyd_0002'" in lines[0]


def test_a_pair_with_both_truths_is_refused_by_both_lines(tmp_path):
    with pytest.raises(
        UserError,
        match=r"line 2 says that 'a' and 'b' show one person, and line 4 says the opposite: remove one",
    ):
        read(written(tmp_path, "image_a,image_b,same\na,b,1\na,c,0\nb,a,0\n"))


def test_what_a_bin_lists_twice_is_said(tmp_path):
    images, same = [b"a", b"a", b"a", b"b", b"b", b"a", b"c", b"d"], [True, True, False, True]
    (tmp_path / "s.bin").write_bytes(pickle.dumps((images, same)))
    with heard() as lines:
        assert len(read(tmp_path / "s.bin")) == 4
    assert [line.partition("s.bin: ")[2].partition(",")[0] for line in lines] == [
        "1 of 4 pairs stand there already",
        "1 pairs are of a picture with itself",
        "1 pairs are listed as one person and as two",
    ]


def test_a_list_of_pairs_in_utf_16_is_read(tmp_path):
    (tmp_path / "p.csv").write_bytes("image_a\timage_b\tsame\na\tb\t1\n".encode("utf-16"))
    assert read(tmp_path / "p.csv").b == ("b",)
    (tmp_path / "p.txt").write_bytes(LFW.encode("utf-16"))
    assert read(tmp_path / "p.txt").same.tolist() == [True, True, False, False] * 2


def test_equal_lists_have_equal_fingerprints_wherever_they_come_from(tmp_path):
    a, b, same, folds = ("x", "y"), ("z", "w"), np.array([True, False]), np.array([0, 1])
    whole = PairList(a, b, same, folds)
    write(tmp_path / "list.csv", whole)
    found = read(tmp_path / "list.csv")
    assert (found.source, found.name) == (str(tmp_path / "list.csv"), "list.csv")
    assert found.fingerprint == whole.fingerprint
    others = [PairList(b, a, same, folds), PairList(a, b, ~same, folds), PairList(a, b, same, folds[::-1])]
    prints = {one.fingerprint for one in (whole, *others, PairList(a, b, same))}
    assert len(prints) == 5
