"""Who changed what, in a chain that shows every later hand.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"

AUDIT = """
-- Written in the transaction of the change it tells of. Sealed afterwards, off the hot path, into audit_chain.
CREATE TABLE audit_entries (
    entry_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant_id     text NOT NULL CHECK (char_length(tenant_id) <= 32),
    principal     text NOT NULL CHECK (char_length(principal) <= 64),
    operation     text NOT NULL CHECK (char_length(operation) <= 64),
    object_kind   text NOT NULL CHECK (char_length(object_kind) <= 32),
    object_id     text NOT NULL CHECK (char_length(object_id) <= 96),
    before        jsonb,
    after         jsonb,
    reason        text NOT NULL DEFAULT '' CHECK (char_length(reason) <= 256),
    request_id    text NOT NULL DEFAULT '' CHECK (char_length(request_id) <= 64),
    address       text NOT NULL DEFAULT '' CHECK (char_length(address) <= 64),
    create_time   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_entries_by_tenant ON audit_entries (tenant_id, entry_id);
CREATE INDEX audit_entries_by_object ON audit_entries (tenant_id, object_kind, object_id, entry_id);
CREATE INDEX audit_entries_to_seal ON audit_entries (tx, entry_id);

-- One chain per tenant: the hash of an entry covers the hash before it.
CREATE TABLE audit_chain (
    tenant_id     text NOT NULL,
    index         bigint NOT NULL CHECK (index > 0),
    entry_id      bigint NOT NULL UNIQUE,
    prev_hash     bytea NOT NULL CHECK (octet_length(prev_hash) = 32),
    hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
    seal_time     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, index)
);
-- The end of each chain, which the next entry is hung on.
CREATE TABLE audit_heads (
    tenant_id     text PRIMARY KEY,
    index         bigint NOT NULL,
    hash          bytea NOT NULL
);
-- How far sealing has come in the order of transactions; whoever holds this one row seals.
CREATE TABLE audit_sealed (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    tx            xid8 NOT NULL,
    entry_id      bigint NOT NULL
);
INSERT INTO audit_sealed (tx, entry_id) VALUES ('0', 0);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_chain_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(AUDIT)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("what is written for auditors is never dropped: restore a backup instead")
