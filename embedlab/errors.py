"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right; the message says what is wrong and what to do.

    The command line prints it as one line on stderr and exits with status 2. Any other
    exception is a bug and keeps its traceback.
    """
