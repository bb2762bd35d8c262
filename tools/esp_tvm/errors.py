"""The one exception a user's mistake raises."""


class UserError(Exception):
    """Something the user can put right.

    The message is one line: the file, tensor or node it is about, what is wrong, and what to do.
    `cli.run` prints it without a traceback and exits with 2.
    """
