"""Old payments are read for the constraints that came without: in a transaction of its own, which locks nobody out.

Revision ID: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Check what 0005 and 0010 have left unchecked."""
    for name in ("payments_institution_id_check", "payments_action_value_check"):
        op.execute(f"ALTER TABLE payments VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """Nothing to take back."""
