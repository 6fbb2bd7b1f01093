"""People are told of what a channel says in a word that is in no table.

Revision ID: 0015
"""

from alembic import op

revision = "0015"
down_revision = "0014"

WORDS = """
ALTER TABLE reminders DROP CONSTRAINT reminders_object_kind_check, ADD CONSTRAINT reminders_object_kind_check
    CHECK (object_kind IN ('CREDENTIALS', 'API_KEY', 'CERTIFICATE', 'PEER_CERTIFICATE', 'UNKNOWN_WORD'));
"""


def upgrade() -> None:
    """Allow the kind."""
    op.execute(WORDS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
