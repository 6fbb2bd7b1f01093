"""Rule sets from draft to published, and windows that repeat.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"

RULE_SETS = """
-- A tenant's routing rules, a row per version. What is or was in force is never written again, only put in and out of force.
CREATE TABLE rule_sets (
    tenant_id     text NOT NULL REFERENCES tenants,
    rule_set_id   text NOT NULL CHECK (char_length(rule_set_id) <= 40),
    state         text NOT NULL CHECK (state IN ('DRAFT', 'IN_FORCE', 'RETIRED')),
    version       integer CHECK ((state = 'DRAFT') = (version IS NULL)),
    revision      integer NOT NULL DEFAULT 1,
    content       jsonb NOT NULL,                       -- see domain/rule_sets.py
    note          text NOT NULL CHECK (char_length(note) <= 256),
    author        text NOT NULL CHECK (char_length(author) <= 64),
    simulation    jsonb,                                -- what a second person is shown, of this revision
    create_time   timestamptz NOT NULL DEFAULT now(),
    update_time   timestamptz NOT NULL DEFAULT now(),
    publish_time  timestamptz,
    PRIMARY KEY (tenant_id, rule_set_id)
);
CREATE UNIQUE INDEX rule_sets_one_in_force ON rule_sets (tenant_id) WHERE state = 'IN_FORCE';
CREATE UNIQUE INDEX rule_sets_versions ON rule_sets (tenant_id, version) WHERE version IS NOT NULL;

CREATE FUNCTION keep_published_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.state <> 'DRAFT' THEN
        RAISE EXCEPTION 'a published rule set is kept' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state <> 'DRAFT'
       AND (NEW.content, NEW.version, NEW.tenant_id) IS DISTINCT FROM (OLD.content, OLD.version, OLD.tenant_id) THEN
        RAISE EXCEPTION 'a published rule set is not changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER rule_sets_kept BEFORE UPDATE OR DELETE ON rule_sets FOR EACH ROW EXECUTE FUNCTION keep_published_rules();
-- Drafts concern nobody who routes.
CREATE TRIGGER rule_sets_changed AFTER UPDATE ON rule_sets FOR EACH ROW
    WHEN (OLD.state = 'IN_FORCE' OR NEW.state = 'IN_FORCE') EXECUTE FUNCTION note_configuration_change();

-- What LIMIT rules have counted in their present period, written by the tenant's router about once a second.
CREATE TABLE limit_uses (
    tenant_id     text NOT NULL,
    rule_id       text NOT NULL CHECK (char_length(rule_id) <= 64),
    period_start  timestamptz NOT NULL,
    order_count   bigint NOT NULL,
    sent_count    bigint NOT NULL,
    sent_minor    bigint NOT NULL,
    PRIMARY KEY (tenant_id, rule_id)
);
"""

WINDOWS = """
ALTER TABLE maintenance_windows
    ALTER COLUMN end_time DROP NOT NULL,                -- for ever
    ADD COLUMN account_id text NOT NULL DEFAULT '',     -- one merchant account only
    ADD COLUMN method text NOT NULL DEFAULT '',         -- one method only
    ADD COLUMN weekly jsonb NOT NULL DEFAULT '{}',      -- days, begin and end in minutes of China's day
    ADD COLUMN principal text NOT NULL DEFAULT '',
    ADD COLUMN cancel_time timestamptz;
"""

# A number of the sequence is seen before the change that took it. Whoever changes holds this lock until its commit, so a
# reader can tell that a change is under way, and reads again; see `storage/desk.py`.
CONFIGURATION_CHANGE = """
CREATE OR REPLACE FUNCTION note_configuration_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7001, 1);
    PERFORM nextval('configuration_version');
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(CONFIGURATION_CHANGE)
    op.execute(RULE_SETS)
    op.execute(WINDOWS)


def downgrade() -> None:
    """Refuse."""
    raise NotImplementedError("restore a backup instead")
