"""The one exception that is meant for the person at the keyboard."""


class UserError(ValueError):
    """A mistake that the user can mend: one line that holds the value and the way out.

    The command line prints it as its last line and exits with code 2, without a traceback.
    """
