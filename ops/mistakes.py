"""What the user can mend: told in one sentence, without a stack.

Nothing is imported here, so that a command that goes wrong says so at once.
"""

FAILED, USAGE = 1, 2


class Mistake(Exception):
    """Something that the user can mend; its text says what it is, and what to do."""

    exit_code = FAILED


class CannotStart(Mistake):
    """Why this deployment can't start, or can't be reached, and what to do; takes one text."""
