import io

from embedlab.progress import say, shown, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_silent_when_nobody_listens(capsys):
    assert list(track(range(3), "counting")) == [0, 1, 2]
    say("nothing")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_plain_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with shown(stream):
        assert list(track(iter(range(3)), "counting", 3)) == [0, 1, 2]
        say("a stage ended")
    assert "counting: 3 done in" in stream.getvalue()
    assert "a stage ended" in stream.getvalue()


def test_a_long_loop_speaks_while_it_runs(monkeypatch):
    monkeypatch.setattr("embedlab.progress.PLAIN_INTERVAL_S", 0.0)
    stream = io.StringIO()
    with shown(stream):
        list(track(range(3), "counting"))
    assert "counting: 1 of 3" in stream.getvalue()


def test_bars_on_a_terminal_nest_and_let_lines_through():
    stream = Terminal()
    with shown(stream):
        for _ in track(range(2), "outer [x]"):
            list(track(range(2), "inner"))
            say("a [bracket] line")
    assert "outer [x]" in stream.getvalue()
    assert "a [bracket] line" in stream.getvalue()


def test_the_listener_goes_with_its_block(capsys):
    with shown(io.StringIO()):
        pass
    say("after")
    assert capsys.readouterr().err == ""
