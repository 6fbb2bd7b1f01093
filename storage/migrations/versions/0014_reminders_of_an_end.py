"""A message is about one end: a version whose certificates were renewed in place has another, of which people are told anew.

Revision ID: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"

REMINDERS = """
ALTER TABLE reminders ADD COLUMN not_after timestamptz NOT NULL DEFAULT 'epoch';  -- of the end; 'epoch' for no end
UPDATE reminders r SET not_after = to_timestamp((extract(epoch FROM e.not_after) * 1000)::bigint / 1000.0)
FROM expiries e WHERE (r.tenant_id, r.object_kind, r.object_id) = (e.tenant_id, e.object_kind, e.object_id);
ALTER TABLE reminders DROP CONSTRAINT reminded_once, ADD CONSTRAINT reminded_once
    UNIQUE (tenant_id, object_kind, object_id, not_after, mark, target_id);
"""


def upgrade() -> None:
    """Add it."""
    op.execute(REMINDERS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
