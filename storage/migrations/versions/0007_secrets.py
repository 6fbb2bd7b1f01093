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

-- Secrets of webhooks are credentials now. What an earlier release left here is taken over when the deployment starts.
ALTER TABLE webhook_endpoints ALTER COLUMN secrets SET DEFAULT '{}';
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(SECRETS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
