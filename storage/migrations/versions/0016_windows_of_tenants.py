"""Windows and hands on channels belong to the tenant that they are of; those of whoever runs the platform are for all.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"

OF_TENANTS = """
ALTER TABLE maintenance_windows ADD COLUMN tenant_id text NOT NULL DEFAULT '';  -- '': for all tenants
UPDATE maintenance_windows w SET tenant_id = e.tenant_id FROM audit_entries e
WHERE e.object_kind = 'maintenance_window' AND e.object_id = w.window_id AND e.operation = 'Channels.SetMaintenanceWindow';
ALTER TABLE forced_states ADD COLUMN tenant_id text NOT NULL DEFAULT '';
UPDATE forced_states f SET tenant_id = e.tenant_id FROM audit_entries e
WHERE e.object_kind = 'forced_state' AND e.object_id = f.forced_id;
DROP POLICY IF EXISTS tenants_apart ON maintenance_windows;  -- the wall is built anew, by the new columns
"""


def upgrade() -> None:
    """Add them."""
    op.execute(OF_TENANTS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
