from embedlab import shares


def doubled(mine):
    for k in mine:
        yield 2 * k


def test_nobody_helps_by_default():
    assert list(shares.shared(doubled, 3)) == [0, 2, 4]
    assert shares.beside() == 1


def test_whoever_helps_is_asked_within_the_block_alone():
    with shares.among(lambda task, pieces: (("helped", one) for one in task(range(pieces))), 4):
        assert list(shares.shared(doubled, 2)) == [("helped", 0), ("helped", 2)]
        assert shares.beside() == 4
        with shares.among(None, 2):
            assert list(shares.shared(doubled, 2)) == [0, 2]
    assert shares.beside() == 1
