"""A tenant sees the parked callbacks of its own merchant accounts.

Revision ID: 0019
"""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the view. It looks with the rights of its owner: behind the wall it shows what is the tenant's, and no raw bytes."""
    op.execute(
        """CREATE VIEW parked_callbacks AS
           SELECT c.channel_id, split_part(c.notify_id, '/', 1) AS merchant_no,
                  substr(c.notify_id, strpos(c.notify_id, '/') + 1) AS notify_id, c.attempt_no,
                  octet_length(c.raw) AS size_bytes, c.receive_time, md5(c.channel_id || ' ' || c.notify_id) AS place
           FROM callbacks c
           WHERE c.state = 'PARKED' AND (current_user <> 'paydesk_tenant' OR EXISTS (
               SELECT FROM merchant_accounts a
               WHERE a.channel_id = c.channel_id AND a.merchant_no = split_part(c.notify_id, '/', 1)
                 AND a.tenant_id = current_setting('paydesk.tenant', true)))"""
    )


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
