"""Principals, grants and certificates.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"

IDENTITY = """
-- People and systems. Those of 'platform' administer all of it and belong to no company.
ALTER TABLE tenants ADD CONSTRAINT tenants_are_companies CHECK (tenant_id <> 'platform');
CREATE TABLE principals (
    tenant_id     text NOT NULL CHECK (tenant_id ~ '^[a-z][a-z0-9_]{0,31}$'),
    principal_id  text NOT NULL CHECK (char_length(principal_id) BETWEEN 1 AND 64),
    kind          text NOT NULL CHECK (kind IN ('PERSON', 'SYSTEM')),
    display_name  text NOT NULL DEFAULT '' CHECK (char_length(display_name) <= 128),
    -- The human being behind it: two principals of one person are one in what needs two.
    person_id     text NOT NULL DEFAULT '' CHECK (char_length(person_id) <= 64),
    create_time   timestamptz NOT NULL DEFAULT now(),
    disable_time  timestamptz,
    PRIMARY KEY (tenant_id, principal_id)
);

-- A role, and how far it reaches: no institutions and no products mean all of them. Arrays are sorted.
CREATE TABLE role_grants (
    grant_id      text PRIMARY KEY CHECK (char_length(grant_id) <= 40),
    tenant_id     text NOT NULL,
    principal_id  text NOT NULL,
    role          text NOT NULL CHECK (role IN
                      ('VIEWER', 'OPS', 'FINANCE_MAKER', 'FINANCE_CHECKER', 'CHANNEL_ADMIN', 'RISK', 'AUDITOR',
                       'PARTNER_API', 'SRE', 'LOADTEST', 'TENANT_ADMIN', 'PLATFORM_ADMIN')),
    institution_ids text[] NOT NULL DEFAULT '{}' CHECK (cardinality(institution_ids) <= 100),
    product_codes text[] NOT NULL DEFAULT '{}' CHECK (cardinality(product_codes) <= 100),
    granted_by    text NOT NULL CHECK (char_length(granted_by) <= 64),
    create_time   timestamptz NOT NULL DEFAULT now(),
    revoke_time   timestamptz,
    FOREIGN KEY (tenant_id, principal_id) REFERENCES principals,
    CONSTRAINT platform_roles_are_apart CHECK ((tenant_id = 'platform') = (role = 'PLATFORM_ADMIN'))
);
CREATE UNIQUE INDEX role_grants_once ON role_grants (tenant_id, principal_id, role, institution_ids, product_codes)
    WHERE revoke_time IS NULL;

-- Which client certificate speaks for whom: one certificate, or every one with a name that our authority confirms.
CREATE TABLE certificate_bindings (
    binding_id    text PRIMARY KEY CHECK (char_length(binding_id) <= 40),
    tenant_id     text NOT NULL,
    principal_id  text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('FINGERPRINT', 'SAN')),
    value         text NOT NULL CHECK (char_length(value) BETWEEN 1 AND 253),
    not_after_time timestamptz NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    unbind_time   timestamptz,
    FOREIGN KEY (tenant_id, principal_id) REFERENCES principals
);
CREATE UNIQUE INDEX certificates_of_one_tenant ON certificate_bindings (kind, value) WHERE unbind_time IS NULL;

-- Whoever had a key before there were principals becomes one, with the roles of its keys.
INSERT INTO principals (tenant_id, principal_id, kind) SELECT DISTINCT tenant_id, principal, 'SYSTEM' FROM api_keys;
INSERT INTO role_grants (grant_id, tenant_id, principal_id, role, granted_by)
    SELECT 'grt_' || left(md5(tenant_id || ':' || principal || ':' || role), 26), tenant_id, principal, role, ''
    FROM (SELECT DISTINCT tenant_id, principal, unnest(roles) AS role FROM api_keys WHERE revoke_time IS NULL) AS held;
-- A key may do less than its principal: the roles named here. None named means all, now and later.
ALTER TABLE api_keys ALTER COLUMN roles DROP NOT NULL, DROP CONSTRAINT api_keys_tenant_id_fkey,
    ADD FOREIGN KEY (tenant_id, principal) REFERENCES principals;
UPDATE api_keys SET roles = NULL WHERE principal = 'developer';
CREATE INDEX api_keys_by_principal ON api_keys (tenant_id, principal);

-- Beside api_keys, because every change there makes every process read its configuration again.
CREATE TABLE api_key_uses (
    key_id        text PRIMARY KEY REFERENCES api_keys (key_id),
    tenant_id     text NOT NULL,
    last_use_time timestamptz NOT NULL
);
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(IDENTITY)
    for table in ("principals", "role_grants", "certificate_bindings"):
        op.execute(
            f"CREATE TRIGGER {table}_changed AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_configuration_change()"
        )


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("who may do what is never dropped: restore a backup instead")
