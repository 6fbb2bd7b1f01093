"""Data keys, versions of credentials, and protected personal data.

Revision ID: 0007
"""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
