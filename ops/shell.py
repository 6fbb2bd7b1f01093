"""Who acts at the shell of this machine, on the database itself, as the audit trail names them."""

import getpass

PRINCIPAL_LENGTH_MAX = 64
# Where an entry of theirs comes from.
ADDRESS = "shell"


def principal() -> str:
    """Return the name of whoever runs this command."""
    return f"{getpass.getuser()}@shell"[:PRINCIPAL_LENGTH_MAX]
