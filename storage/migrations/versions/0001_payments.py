"""The tables of payments, channels, events and the sandbox's tenants.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None

DESK = """
-- A company of the group. Everything else hangs on its tenant_id.
CREATE TABLE tenants (
    tenant_id     text PRIMARY KEY CHECK (tenant_id ~ '^[a-z][a-z0-9_]{0,31}$'),
    display_name  text NOT NULL CHECK (char_length(display_name) <= 128),
    products      text[] NOT NULL,
    routing       jsonb NOT NULL DEFAULT '{}',          -- weights and rules, see domain/routing.py
    create_time   timestamptz NOT NULL DEFAULT now()
);

-- Who may call. The key itself is never stored, only its HMAC.
CREATE TABLE api_keys (
    key_digest    bytea PRIMARY KEY CHECK (octet_length(key_digest) = 32),
    key_id        text NOT NULL UNIQUE CHECK (char_length(key_id) <= 32),
    tenant_id     text NOT NULL REFERENCES tenants,
    principal     text NOT NULL CHECK (char_length(principal) <= 64),
    roles         text[] NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    expire_time   timestamptz,
    revoke_time   timestamptz
);

CREATE TABLE channels (
    channel_id    text PRIMARY KEY CHECK (channel_id ~ '^[a-z][a-z0-9_]{0,31}$'),
    display_name  text NOT NULL CHECK (char_length(display_name) <= 64),
    kind          text NOT NULL CHECK (char_length(kind) <= 32),
    settings      jsonb NOT NULL DEFAULT '{}',
    create_time   timestamptz NOT NULL DEFAULT now()
);

-- A tenant's contract on a channel.
CREATE TABLE merchant_accounts (
    account_id    text PRIMARY KEY CHECK (char_length(account_id) <= 32),
    tenant_id     text NOT NULL REFERENCES tenants,
    channel_id    text NOT NULL REFERENCES channels,
    merchant_no   text NOT NULL CHECK (char_length(merchant_no) <= 32),
    terms         jsonb NOT NULL DEFAULT '{}',          -- methods, fees, limits, visibility
    UNIQUE (channel_id, merchant_no)
);

CREATE TABLE webhook_endpoints (
    tenant_id     text PRIMARY KEY REFERENCES tenants,
    url           text NOT NULL CHECK (char_length(url) <= 512),
    secrets       text[] NOT NULL,                      -- whsec_…; two while one is being replaced
    disable_time  timestamptz                           -- the endpoint said 410 Gone
);

CREATE TABLE maintenance_windows (
    window_id     text PRIMARY KEY,
    channel_id    text NOT NULL REFERENCES channels,
    start_time    timestamptz NOT NULL,
    end_time      timestamptz NOT NULL CHECK (end_time > start_time),
    reason        text NOT NULL CHECK (char_length(reason) <= 128),
    create_time   timestamptz NOT NULL DEFAULT now()
);

-- An operator's hand on a channel; the newest row that has not expired counts.
CREATE TABLE forced_states (
    forced_id     text PRIMARY KEY,
    channel_id    text NOT NULL REFERENCES channels,
    state         text NOT NULL CHECK (state IN ('FORCED_OPEN', 'FORCED_CLOSED', 'HEALTHY')),
    expire_time   timestamptz NOT NULL,
    reason        text NOT NULL CHECK (char_length(reason) <= 128),
    principal     text NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now()
);

-- Every change of a channel's health state, for people and for a connector that starts again.
CREATE TABLE channel_health_changes (
    change_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id    text NOT NULL,
    state         text NOT NULL,
    score         real NOT NULL,
    reason        text NOT NULL CHECK (char_length(reason) <= 256),
    create_time   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX channel_health_changes_by_channel ON channel_health_changes (channel_id, change_id DESC);

-- The answer to a mutating call that makes no row of its own.
CREATE TABLE requests (
    tenant_id     text NOT NULL,
    operation     text NOT NULL CHECK (char_length(operation) <= 32),
    request_id    text NOT NULL CHECK (char_length(request_id) <= 64),
    content_hash  text NOT NULL CHECK (char_length(content_hash) = 32),
    object_id     text NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, operation, request_id)
);
"""

PAYMENTS = """
-- One intent to collect an order by one method. `kept` is true for the one success of an order, and null otherwise:
-- a unique index treats nulls as different, so the index on orders serves look-ups and holds "paid once" in one.
CREATE TABLE payments (
    tenant_id     text NOT NULL,
    payment_id    text NOT NULL CHECK (char_length(payment_id) <= 40),
    request_id    text NOT NULL CHECK (char_length(request_id) BETWEEN 1 AND 64),
    content_hash  text NOT NULL CHECK (char_length(content_hash) = 32),
    order_no      text NOT NULL CHECK (char_length(order_no) BETWEEN 1 AND 64),
    product_code  text NOT NULL CHECK (char_length(product_code) <= 32),
    amount_minor  bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 1000000000000),
    currency_code text NOT NULL CHECK (char_length(currency_code) = 3),
    method        text NOT NULL CHECK (char_length(method) <= 32),
    terminal      text NOT NULL CHECK (char_length(terminal) <= 32),
    source        text NOT NULL CHECK (char_length(source) <= 32),
    subject       text NOT NULL CHECK (char_length(subject) <= 128),
    payer_ref     text NOT NULL CHECK (char_length(payer_ref) <= 64),
    state         text NOT NULL CHECK (state IN
                      ('SUBMITTING', 'PENDING', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'CLOSED', 'FUNDS_RETURNED')),
    reason        text NOT NULL DEFAULT '' CHECK (char_length(reason) <= 128),
    channel_id    text NOT NULL,
    account_id    text NOT NULL,
    merchant_no   text NOT NULL,
    attempt_no    text NOT NULL,
    attempt_index smallint NOT NULL CHECK (attempt_index BETWEEN 1 AND 3),
    send_count    smallint NOT NULL DEFAULT 1 CHECK (send_count BETWEEN 1 AND 3),
    channel_txn_no text NOT NULL DEFAULT '' CHECK (char_length(channel_txn_no) <= 64),
    action_kind   text NOT NULL DEFAULT '' CHECK (char_length(action_kind) <= 16),
    action_value  text NOT NULL DEFAULT '' CHECK (char_length(action_value) <= 512),
    revision      integer NOT NULL DEFAULT 1,
    proof_rank    smallint NOT NULL DEFAULT 0,
    kept          boolean CHECK (kept IS NULL OR (kept AND state = 'SUCCEEDED')),
    late          boolean NOT NULL DEFAULT false,
    duplicate     boolean NOT NULL DEFAULT false,
    close_reason  text NOT NULL DEFAULT '' CHECK (char_length(close_reason) <= 128),
    refund_reserved_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    query_count   smallint NOT NULL DEFAULT 0,
    next_action_time timestamptz,
    create_time   timestamptz NOT NULL DEFAULT now(),
    update_time   timestamptz NOT NULL DEFAULT now(),
    expire_time   timestamptz NOT NULL,
    success_time  timestamptz,
    PRIMARY KEY (tenant_id, payment_id),
    CONSTRAINT refunds_within_payment CHECK (0 <= refunded_minor AND refunded_minor <= refund_reserved_minor
                                             AND refund_reserved_minor <= amount_minor),
    CONSTRAINT open_payments_have_an_owner CHECK
        ((state IN ('SUBMITTING', 'PENDING', 'UNKNOWN')) = (next_action_time IS NOT NULL))
) WITH (fillfactor = 80);
-- Tenant and number are one key: an index that began with the tenant alone would tempt the planner, while the table is
-- still empty, into plans that read a whole tenant.
CREATE UNIQUE INDEX payments_by_request ON payments ((tenant_id || ':' || request_id));
CREATE UNIQUE INDEX payments_paid_once ON payments ((tenant_id || ':' || order_no), kept);
CREATE UNIQUE INDEX payments_one_open_per_method ON payments ((tenant_id || ':' || order_no), method)
    WHERE state IN ('SUBMITTING', 'PENDING', 'UNKNOWN');
CREATE INDEX payments_due ON payments (next_action_time) WHERE next_action_time IS NOT NULL;

-- One request to one channel, with its own number, and why that channel was chosen.
CREATE TABLE attempts (
    payment_id    text NOT NULL,
    attempt_index smallint NOT NULL,
    attempt_no    text NOT NULL CHECK (char_length(attempt_no) <= 32),
    tenant_id     text NOT NULL,
    channel_id    text NOT NULL,
    account_id    text NOT NULL,
    merchant_no   text NOT NULL,
    state         text NOT NULL CHECK (state IN ('LIVE', 'DONE', 'REJECTED', 'NOT_SENT', 'CLOSED', 'GIVEN_UP')),
    reason        text NOT NULL DEFAULT '' CHECK (char_length(reason) <= 128),
    channel_txn_no text CHECK (char_length(channel_txn_no) <= 64),
    decision      json NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    update_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, attempt_index)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX attempts_by_number ON attempts (attempt_no);
CREATE UNIQUE INDEX attempts_one_live ON attempts (payment_id) WHERE state = 'LIVE';
CREATE UNIQUE INDEX attempts_by_channel_txn ON attempts (channel_id, channel_txn_no) WHERE channel_txn_no IS NOT NULL;

-- Append-only: every change of a payment, with its evidence. Unique (payment_id, revision) is the lock.
CREATE TABLE payment_history (
    payment_id    text NOT NULL,
    revision      integer NOT NULL,
    event         text NOT NULL,
    state         text NOT NULL,
    source        text NOT NULL,
    reason        text NOT NULL CHECK (char_length(reason) <= 128),
    attempt_no    text NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, revision)
);

-- The outbox: what the world is told, written with the change that it tells. (tx, position) is the stream's order:
-- positions alone are given before commit, so a reader may only read below the oldest running transaction.
CREATE TABLE events (
    payment_id    text NOT NULL,
    revision      integer NOT NULL,
    position      bigint GENERATED ALWAYS AS IDENTITY,
    tx            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant_id     text NOT NULL,
    order_no      text NOT NULL,
    event_type    text NOT NULL CHECK (char_length(event_type) <= 64),
    state         text NOT NULL,
    reason        text NOT NULL,
    refund_id     text NOT NULL DEFAULT '',
    create_time   timestamptz NOT NULL DEFAULT now(),
    deliver_state text NOT NULL CHECK (deliver_state IN ('NONE', 'PENDING', 'DELIVERED', 'DEAD')),
    try_count     smallint NOT NULL DEFAULT 0,
    resend_count  smallint NOT NULL DEFAULT 0,
    next_try_time timestamptz,
    deliver_time  timestamptz,
    last_error    text NOT NULL DEFAULT '' CHECK (char_length(last_error) <= 256),
    PRIMARY KEY (payment_id, revision),
    CHECK ((deliver_state = 'PENDING') = (next_try_time IS NOT NULL))
);
CREATE INDEX events_stream ON events (tenant_id, tx, position);
CREATE INDEX events_to_deliver ON events (tenant_id, next_try_time) WHERE deliver_state = 'PENDING';
CREATE INDEX events_dead ON events (tenant_id, tx, position) WHERE deliver_state = 'DEAD';
CREATE INDEX events_to_deliver_by_order ON events (tenant_id, order_no, position) WHERE deliver_state = 'PENDING';

-- Double entry, one row per posting: what one account is debited another is credited, so the sum is zero by shape.
CREATE TABLE journal (
    payment_id    text NOT NULL,
    revision      integer NOT NULL,
    tenant_id     text NOT NULL,
    debit_account text NOT NULL CHECK (char_length(debit_account) <= 96),
    credit_account text NOT NULL CHECK (char_length(credit_account) <= 96 AND credit_account <> debit_account),
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    currency_code text NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, revision)
);

CREATE TABLE refunds (
    refund_id     text PRIMARY KEY,
    tenant_id     text NOT NULL,
    payment_id    text NOT NULL,
    attempt_no    text NOT NULL,
    channel_id    text NOT NULL,
    merchant_no   text NOT NULL,
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    currency_code text NOT NULL,
    cause         text NOT NULL CHECK (cause IN ('DUPLICATE', 'PAID_AFTER_CLOSE', 'EARLIER_ATTEMPT_PAID')),
    state         text NOT NULL CHECK (state IN ('APPROVED', 'SUBMITTED', 'ACCEPTED', 'UNKNOWN', 'SUCCEEDED', 'FAILED')),
    missed        boolean NOT NULL DEFAULT false,
    reason        text NOT NULL DEFAULT '' CHECK (char_length(reason) <= 128),
    revision      integer NOT NULL DEFAULT 1,
    query_count   smallint NOT NULL DEFAULT 0,
    next_action_time timestamptz,
    create_time   timestamptz NOT NULL DEFAULT now(),
    update_time   timestamptz NOT NULL DEFAULT now(),
    CHECK ((state NOT IN ('SUCCEEDED', 'FAILED')) = (next_action_time IS NOT NULL))
);
-- An attempt's extra money goes back once, however often it is proved.
CREATE UNIQUE INDEX refunds_once_per_attempt ON refunds (attempt_no);
CREATE INDEX refunds_by_payment ON refunds (payment_id);
CREATE INDEX refunds_due ON refunds (next_action_time) WHERE next_action_time IS NOT NULL;

-- What needs a person: evidence that contradicts, other amounts, other merchants. One row per payment and kind.
CREATE TABLE cases (
    payment_id    text NOT NULL,
    kind          text NOT NULL CHECK (char_length(kind) <= 32),
    tenant_id     text NOT NULL,
    attempt_no    text NOT NULL,
    detail        text NOT NULL CHECK (char_length(detail) <= 512),
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, kind)
);

-- The callback inbox: verified callbacks, raw bytes kept. A callback that fails verification leaves no row, only a count.
CREATE TABLE callbacks (
    channel_id    text NOT NULL,
    notify_id     text NOT NULL CHECK (char_length(notify_id) <= 128),
    attempt_no    text NOT NULL CHECK (char_length(attempt_no) <= 64),
    state         text NOT NULL CHECK (state IN ('RECEIVED', 'APPLIED', 'PARKED')),
    raw           bytea NOT NULL CHECK (octet_length(raw) <= 262144),
    receive_time  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel_id, notify_id)
);
CREATE INDEX callbacks_unapplied ON callbacks (receive_time) WHERE state <> 'APPLIED';

-- Counters handed over by every process, a row each, for /metrics. Losing them in a crash loses nothing but a graph.
CREATE UNLOGGED TABLE process_meters (
    process       text PRIMARY KEY CHECK (char_length(process) <= 96),
    samples       jsonb NOT NULL,
    update_time   timestamptz NOT NULL DEFAULT now()
);
"""


# Whoever holds configuration in memory asks for this number once a second and reads again when it has moved.
CONFIGURATION_VERSION = """
CREATE SEQUENCE configuration_version;
CREATE FUNCTION note_configuration_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('configuration_version');
    RETURN NULL;
END $$;
"""
_CONFIGURATION_TABLES = (
    "tenants",
    "api_keys",
    "channels",
    "merchant_accounts",
    "webhook_endpoints",
    "maintenance_windows",
    "forced_states",
)


def upgrade() -> None:
    """Make everything."""
    op.execute(DESK)
    op.execute(PAYMENTS)
    op.execute(CONFIGURATION_VERSION)
    for table in _CONFIGURATION_TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_changed AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_configuration_change()"
        )


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("money tables are never dropped: restore a backup instead")
