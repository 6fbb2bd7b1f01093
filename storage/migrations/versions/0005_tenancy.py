"""Institutions, products, settings and the versions of merchant accounts.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"


TENANCY = """
-- Of SUSPENDED tenants no payment is taken any more; those under way go on to their end.
ALTER TABLE tenants ADD COLUMN state text NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    ALTER COLUMN products SET DEFAULT '{}';

-- The branches of a tenant, each below another one or below the tenant itself.
CREATE TABLE institutions (
    tenant_id     text NOT NULL REFERENCES tenants,
    institution_id text NOT NULL CHECK (institution_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$'),
    parent_id     text CHECK (parent_id <> institution_id),
    display_name  text NOT NULL CHECK (char_length(display_name) <= 128),
    state         text NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'CLOSED')),
    version       integer NOT NULL DEFAULT 1 CHECK (version > 0),
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, institution_id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES institutions
);

-- What a tenant sells. `institutions` are those that may sell it, with all below them; none means all.
CREATE TABLE products (
    tenant_id     text NOT NULL REFERENCES tenants,
    product_code  text NOT NULL CHECK (char_length(product_code) BETWEEN 1 AND 32),
    display_name  text NOT NULL CHECK (char_length(display_name) <= 128),
    institutions  text[] NOT NULL DEFAULT '{}',
    state         text NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'CLOSED')),
    version       integer NOT NULL DEFAULT 1 CHECK (version > 0),
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, product_code)
);
INSERT INTO products (tenant_id, product_code, display_name) SELECT tenant_id, code, code
    FROM tenants, unnest(products) AS code ON CONFLICT DO NOTHING;

-- What a merchant account's contract says from a moment on. In force is, of the versions whose moment has come, the one
-- that was made last; nothing is ever overwritten, so what a payment was decided with can be read for good.
CREATE TABLE merchant_account_versions (
    account_id    text NOT NULL REFERENCES merchant_accounts,
    version       integer NOT NULL CHECK (version > 0),
    terms         jsonb NOT NULL,
    valid_from    timestamptz NOT NULL,
    principal     text NOT NULL CHECK (char_length(principal) <= 64),
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, version)
);
INSERT INTO merchant_account_versions (account_id, version, terms, valid_from, principal)
    SELECT account_id, 1, terms, '-infinity', 'migration' FROM merchant_accounts;

-- One value of one setting at one level; the empty text stands for "any". A null value takes the level back.
CREATE TABLE settings (
    tenant_id     text NOT NULL CHECK (char_length(tenant_id) <= 32),
    key           text NOT NULL CHECK (char_length(key) <= 64),
    institution_id text NOT NULL DEFAULT '' CHECK (char_length(institution_id) <= 32),
    product_code  text NOT NULL DEFAULT '' CHECK (char_length(product_code) <= 32),
    source        text NOT NULL DEFAULT '' CHECK (char_length(source) <= 32),
    terminal      text NOT NULL DEFAULT '' CHECK (char_length(terminal) <= 32),
    method        text NOT NULL DEFAULT '' CHECK (char_length(method) <= 32),
    version       integer NOT NULL CHECK (version > 0),
    value         jsonb,
    valid_from    timestamptz NOT NULL,
    principal     text NOT NULL CHECK (char_length(principal) <= 64),
    create_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key, institution_id, product_code, source, terminal, method, version)
);

-- Checked for old rows by 0011, beside payments: here it would lock them out for as long as the table is read.
ALTER TABLE payments ADD COLUMN institution_id text NOT NULL DEFAULT '',
    ADD CONSTRAINT payments_institution_id_check CHECK (char_length(institution_id) <= 32) NOT VALID;
ALTER TABLE channels ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0);
"""
_CONFIGURATION_TABLES = ("institutions", "products", "merchant_account_versions", "settings")


def upgrade() -> None:
    """Make the tables, and move what the desk holds into them.

    `tenants.products` and `merchant_accounts.terms` are not read any more; processes of the version before still read
    them while it is replaced, so they go with a later migration.
    """
    op.execute(TENANCY)
    for table in _CONFIGURATION_TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_changed AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_configuration_change()"
        )


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
