"""The one exception that users are meant to read."""


class KcError(Exception):
    """A mistake in the input: one sentence with the offending value and what is allowed.

    The command line prints it without a traceback and exits with code 2.
    """
