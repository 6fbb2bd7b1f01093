"""What was done beside the API, by a shell on the database itself, is found without reading the trail.

Revision ID: 0018
"""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the index."""
    op.execute("CREATE INDEX audit_entries_of_shell ON audit_entries (create_time) WHERE address = 'shell'")


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
