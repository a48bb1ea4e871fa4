"""The one exception that is meant for the person at the keyboard, and the check that most often raises it."""


class UserError(ValueError):
    """A mistake that the user can mend: one line that holds the value and the way out.

    The command line prints it as its last line and exits with code 2, without a traceback.
    """


def check_least(*numbers: tuple[str, float, float]) -> None:
    """Refuse numbers that are too small.

    Args:
        numbers: Name, value and the least that it may be.

    Raises:
        UserError: Naming the first of them.
    """
    for name, value, least in numbers:
        if value < least:
            raise UserError(f"{name} is {value}; it must be at least {least}")
