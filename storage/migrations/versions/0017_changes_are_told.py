"""A change of what the desk is set up with is told to whoever listens, at its commit.

Revision ID: 0017
"""

from alembic import op

revision = "0017"
down_revision = "0016"

TELL = """
CREATE OR REPLACE FUNCTION note_configuration_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7001, 1);
    PERFORM nextval('configuration_version');
    NOTIFY paydesk_desk;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    """Tell it."""
    op.execute(TELL)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
