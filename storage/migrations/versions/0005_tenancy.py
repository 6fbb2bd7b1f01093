"""Institutions, products, settings and the versions of merchant accounts.

Revision ID: 0005
"""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
