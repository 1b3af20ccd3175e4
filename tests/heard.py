"""What is said while something runs, as a list of lines."""

from contextlib import contextmanager

from embedlab import progress


class _Heard:
    def __init__(self):
        self.lines = []

    def loop(self, items, what, total):
        return iter(items)

    def say(self, message):
        self.lines.append(message)


@contextmanager
def heard():
    """Give the list that lines are put into."""
    listener = _Heard()
    token = progress._listener.set(listener)
    try:
        yield listener.lines
    finally:
        progress._listener.reset(token)
