"""What a payer has to do may be a form that his browser posts, signed and with all its fields.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Take longer values."""
    op.execute(
        """ALTER TABLE payments DROP CONSTRAINT payments_action_value_check,
           ADD CONSTRAINT payments_action_value_check CHECK (char_length(action_value) <= 8192) NOT VALID"""
    )


def downgrade() -> None:
    """Take short values again; fails while there are longer ones."""
    op.execute(
        """ALTER TABLE payments DROP CONSTRAINT payments_action_value_check,
           ADD CONSTRAINT payments_action_value_check CHECK (char_length(action_value) <= 512)"""
    )
