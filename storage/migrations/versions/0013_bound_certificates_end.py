"""Client certificates that are bound one by one stand in the calendar of what ends.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"

EXPIRIES = """
CREATE OR REPLACE VIEW expiries WITH (security_invoker = true) AS
    SELECT c.tenant_id, 'CREDENTIALS' AS object_kind, c.owner_kind || '/' || c.owner_id || '/' || c.version AS object_id,
           coalesce(a.channel_id, '') AS channel_id,
           CASE c.owner_kind WHEN 'WEBHOOK' THEN 'webhook secret' ELSE 'credentials of account ' || c.owner_id END
               || ', version ' || c.version AS title, c.not_after
    FROM credentials c LEFT JOIN merchant_accounts a ON c.owner_kind = 'ACCOUNT' AND a.account_id = c.owner_id
    WHERE c.state = 'ACTIVE' AND c.not_after IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM credentials n WHERE n.tenant_id = c.tenant_id AND n.owner_kind = c.owner_kind
        AND n.owner_id = c.owner_id AND n.state = 'ACTIVE' AND n.version > c.version)
    UNION ALL
    SELECT tenant_id, 'API_KEY', key_id, '', 'API key ' || key_id || ' of ' || principal, expire_time
    FROM api_keys WHERE revoke_time IS NULL AND expire_time IS NOT NULL
    UNION ALL  -- of those bound by name the next one counts as well
    SELECT tenant_id, 'CERTIFICATE', binding_id, '', 'client certificate of ' || principal_id, not_after_time
    FROM certificate_bindings WHERE unbind_time IS NULL AND kind = 'FINGERPRINT';
ALTER TABLE reminders DROP CONSTRAINT reminders_object_kind_check, ADD CONSTRAINT reminders_object_kind_check
    CHECK (object_kind IN ('CREDENTIALS', 'API_KEY', 'CERTIFICATE', 'PEER_CERTIFICATE'));
"""


def upgrade() -> None:
    """Add them."""
    op.execute(EXPIRIES)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
