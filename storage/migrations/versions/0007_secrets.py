"""Data keys, versions of credentials, and protected personal data.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"

SECRETS = """
-- What a tenant's secrets are sealed with, itself wrapped by a master key that is not in the database. DATA keys come in
-- versions; the one INDEX key makes blind indexes and fingerprints, and stays.
CREATE TABLE data_keys (
    tenant_id     text NOT NULL CHECK (char_length(tenant_id) <= 32),
    purpose       text NOT NULL CHECK (purpose IN ('DATA', 'INDEX')),
    version       smallint NOT NULL CHECK (version > 0),
    master_key_id text NOT NULL CHECK (char_length(master_key_id) <= 32),
    wrapped       bytea NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, purpose, version)
);

-- Versions of what a merchant account, or a tenant's webhook, signs and verifies with. A retired version keeps what may
-- be seen of it, and loses its values.
CREATE TABLE credentials (
    tenant_id     text NOT NULL,
    owner_kind    text NOT NULL CHECK (owner_kind IN ('ACCOUNT', 'WEBHOOK')),
    owner_id      text NOT NULL CHECK (char_length(owner_id) <= 32),
    version       integer NOT NULL CHECK (version > 0),
    state         text NOT NULL CHECK (state IN ('STAGED', 'ACTIVE', 'RETIRED')),
    sealed        bytea,
    shown         jsonb NOT NULL,
    not_after     timestamptz,
    principal     text NOT NULL CHECK (char_length(principal) <= 64),
    create_time   timestamptz NOT NULL DEFAULT now(),
    activate_time timestamptz,
    retire_time   timestamptz,
    PRIMARY KEY (tenant_id, owner_kind, owner_id, version),
    CONSTRAINT retired_credentials_are_gone CHECK ((state = 'RETIRED') = (sealed IS NULL))
);
CREATE TRIGGER credentials_changed AFTER INSERT OR UPDATE OR DELETE ON credentials
    FOR EACH STATEMENT EXECUTE FUNCTION note_configuration_change();

-- Who pays, sealed; only where the caller said it. Digests are keyed, so that equal numbers can be found and none guessed.
CREATE TABLE payer_details (
    tenant_id     text NOT NULL,
    payment_id    text NOT NULL,
    request_id    text NOT NULL,                        -- what it was sealed for
    sealed        bytea NOT NULL,
    card_digest   bytea,
    phone_digest  bytea,
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, payment_id)
);
CREATE INDEX payer_details_by_card ON payer_details (tenant_id, card_digest) WHERE card_digest IS NOT NULL;
CREATE INDEX payer_details_by_phone ON payer_details (tenant_id, phone_digest) WHERE phone_digest IS NOT NULL;

-- Whoever is told when something ends, and by which ways: a way's URL holds its secrets.
CREATE TABLE contacts (
    tenant_id     text NOT NULL,
    contact_id    text NOT NULL CHECK (char_length(contact_id) <= 40),
    display_name  text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 64),
    escalation    boolean NOT NULL,                     -- told only when nobody has answered
    create_time   timestamptz NOT NULL DEFAULT now(),
    delete_time   timestamptz,
    PRIMARY KEY (tenant_id, contact_id)
);
CREATE TABLE contact_targets (
    tenant_id     text NOT NULL,
    contact_id    text NOT NULL,
    target_id     text NOT NULL CHECK (char_length(target_id) <= 48),
    shown         text NOT NULL CHECK (char_length(shown) <= 128),
    sealed        bytea,                                -- gone with its contact
    PRIMARY KEY (tenant_id, target_id),
    FOREIGN KEY (tenant_id, contact_id) REFERENCES contacts
);

-- One message to one target about one end at one mark, once: the row is the intent, and comes before the sending.
-- Target '' is the message inside the system.
CREATE TABLE reminders (
    reminder_id   text PRIMARY KEY CHECK (char_length(reminder_id) <= 40),
    tenant_id     text NOT NULL,
    object_kind   text NOT NULL CHECK (object_kind IN ('CREDENTIALS', 'API_KEY', 'PEER_CERTIFICATE')),
    object_id     text NOT NULL CHECK (char_length(object_id) <= 128),
    mark          integer NOT NULL,                     -- days left, as in domain/expiry.py
    target_id     text NOT NULL,
    title         text NOT NULL CHECK (char_length(title) <= 256),
    body          text NOT NULL CHECK (char_length(body) <= 1024),
    state         text NOT NULL CHECK (state IN ('SHOWN', 'DUE', 'SENDING', 'SENT', 'FAILED', 'UNSURE')),
    try_count     smallint NOT NULL DEFAULT 0,
    due_time      timestamptz,
    create_time   timestamptz NOT NULL,
    send_time     timestamptz,
    acknowledge_time timestamptz,
    acknowledger  text NOT NULL DEFAULT '' CHECK (char_length(acknowledger) <= 64),
    CONSTRAINT reminded_once UNIQUE (tenant_id, object_kind, object_id, mark, target_id),
    CHECK ((state IN ('DUE', 'SENDING')) = (due_time IS NOT NULL))
);
CREATE INDEX reminders_due ON reminders (due_time) WHERE due_time IS NOT NULL;

-- The certificates that channels have shown us, to notice a new one.
CREATE TABLE peer_certificates (
    channel_id    text NOT NULL REFERENCES channels,
    fingerprint   text NOT NULL CHECK (char_length(fingerprint) <= 64),
    not_after     timestamptz NOT NULL,
    first_time    timestamptz NOT NULL,
    last_time     timestamptz NOT NULL,
    PRIMARY KEY (channel_id, fingerprint)
);

-- Everything with an end that is in use: of credentials the version that signs.
CREATE VIEW expiries WITH (security_invoker = true) AS
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
    FROM api_keys WHERE revoke_time IS NULL AND expire_time IS NOT NULL;

-- Secrets of webhooks are credentials now. What an earlier release left here is taken over when the deployment starts.
ALTER TABLE webhook_endpoints ALTER COLUMN secrets SET DEFAULT '{}';
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(SECRETS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
