"""A second person's word on sensitive acts.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"

APPROVALS = """
-- A sensitive act that waits for other people, or one that nobody had to be asked about. What was shown is kept with its
-- hash: an approval is of that and nothing else.
CREATE TABLE approvals (
    approval_id   text PRIMARY KEY CHECK (char_length(approval_id) <= 32),
    tenant_id     text NOT NULL CHECK (char_length(tenant_id) <= 32),
    kind          text NOT NULL CHECK (char_length(kind) <= 48),
    object_kind   text NOT NULL CHECK (char_length(object_kind) <= 32),
    arguments     jsonb NOT NULL,
    shown         jsonb NOT NULL,
    shown_hash    bytea NOT NULL CHECK (octet_length(shown_hash) = 32),
    amount_minor  bigint NOT NULL DEFAULT 0 CHECK (amount_minor >= 0),
    approvers_needed smallint NOT NULL CHECK (approvers_needed >= 0),
    state         text NOT NULL CHECK (state IN
                      ('PENDING', 'PERFORMED', 'REJECTED', 'CANCELLED', 'EXPIRED', 'VOID')),
    proposer      text NOT NULL CHECK (char_length(proposer) <= 64),
    proposer_being text NOT NULL CHECK (char_length(proposer_being) <= 64),
    reason        text NOT NULL CHECK (char_length(reason) <= 256),
    request_id    text NOT NULL CHECK (char_length(request_id) <= 64),
    content_hash  text NOT NULL CHECK (char_length(content_hash) <= 64),
    address       text NOT NULL CHECK (char_length(address) <= 64),
    object_id     text NOT NULL DEFAULT '' CHECK (char_length(object_id) <= 96),
    outcome       text NOT NULL DEFAULT '' CHECK (char_length(outcome) <= 512),
    create_time   timestamptz NOT NULL,
    update_time   timestamptz NOT NULL,
    expire_time   timestamptz NOT NULL
);
CREATE UNIQUE INDEX approvals_once_per_request ON approvals (tenant_id, kind, request_id) WHERE request_id <> '';
CREATE INDEX approvals_by_tenant ON approvals (tenant_id, ((state = 'PENDING')::int), approval_id);
CREATE INDEX approvals_pending ON approvals (expire_time) WHERE state = 'PENDING';

-- Nobody decides twice about the same, not even as somebody else.
CREATE TABLE approval_decisions (
    approval_id   text NOT NULL REFERENCES approvals,
    principal     text NOT NULL CHECK (char_length(principal) <= 64),
    being         text NOT NULL CHECK (char_length(being) <= 64),
    decision      text NOT NULL CHECK (decision IN ('APPROVE', 'REJECT')),
    comment       text NOT NULL CHECK (char_length(comment) BETWEEN 1 AND 256),
    create_time   timestamptz NOT NULL,
    PRIMARY KEY (approval_id, principal),
    UNIQUE (approval_id, being)
);
CREATE TRIGGER approval_decisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON approval_decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- How many have to allow what, version by version; the newest counts for what is proposed from now on.
CREATE TABLE approval_policies (
    tenant_id     text NOT NULL CHECK (char_length(tenant_id) <= 32),
    version       integer NOT NULL CHECK (version > 0),
    policy        jsonb NOT NULL,
    principal     text NOT NULL CHECK (char_length(principal) <= 64),
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, version)
);
CREATE TRIGGER approval_policies_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON approval_policies
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE INDEX forced_states_newest ON forced_states (channel_id, create_time DESC);
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(APPROVALS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
