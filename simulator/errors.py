"""What the sandbox raises; the data plane never does, it answers REFUSED instead."""


class BadControl(Exception):
    """A command to the sandbox names an unknown channel, fault or field, or a value out of its range. Nothing changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class LedgerDamaged(Exception):
    """The ledger cannot be read or is in use by another process; `message` names the file and the line."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
