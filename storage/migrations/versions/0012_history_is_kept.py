"""A payment's history and the journal are only ever added to, like the audit trail.

Revision ID: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"

TABLES = ("payment_history", "journal")


def upgrade() -> None:
    """Refuse changes; what is added costs nothing more."""
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    """Allow changes again."""
    for table in TABLES:
        op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
