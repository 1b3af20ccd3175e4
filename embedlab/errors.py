"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right; the message says what is wrong and what to do.

    The command line prints it as one line on stderr and exits with status 2. Any other
    exception is a bug and keeps its traceback.
    """


def first_line(error: Exception) -> str:
    """Give the first line of what another library says, short enough for a message of one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
