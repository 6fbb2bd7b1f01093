"""What a merchant account has taken today and this month.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"


LIMITS = """
-- How much of a limit attempts have reserved; only accounts with limits have rows. Days and months are China's.
CREATE TABLE account_usage (
    account_id    text NOT NULL REFERENCES merchant_accounts,
    span          text NOT NULL CHECK (span IN ('DAY', 'MONTH')),
    start_date    date NOT NULL CHECK (span = 'DAY' OR extract(day FROM start_date) = 1),
    used_minor    bigint NOT NULL,
    limit_minor   bigint CHECK (limit_minor > 0),       -- none when only the other span is limited
    PRIMARY KEY (account_id, span, start_date),
    CONSTRAINT usage_within_limit CHECK (0 <= used_minor AND used_minor <= limit_minor)
) WITH (fillfactor = 50);

-- Whose reservations those are. An attempt that took nothing for sure has none.
CREATE TABLE account_reservations (
    attempt_no    text PRIMARY KEY CHECK (char_length(attempt_no) <= 32),
    account_id    text NOT NULL,
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    day           date NOT NULL,
    month         date NOT NULL
);
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(LIMITS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
