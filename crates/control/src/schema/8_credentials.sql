-- Version 8: the rest of a project's settings, and the whole life of credentials.

-- client_address takes the place of keeps_client_ip. allowed_origins has one on each line; none: any may send.
-- A project is deleted in two steps: hidden and silent from deleted_at_ms on, gone after a time.
ALTER TABLE projects ADD COLUMN timezone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE projects ADD COLUMN client_address TEXT NOT NULL DEFAULT 'keep'
    CHECK (client_address IN ('drop', 'mask', 'keep'));
UPDATE projects SET client_address = 'drop' WHERE keeps_client_ip = 0;
ALTER TABLE projects DROP COLUMN keeps_client_ip;
ALTER TABLE projects ADD COLUMN allowed_origins TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN deleted_at_ms INTEGER;
ALTER TABLE projects ADD COLUMN deleted_by TEXT;
ALTER TABLE projects ADD COLUMN api_key_uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN api_secret_uses INTEGER NOT NULL DEFAULT 0;

CREATE INDEX projects_of_organisation ON projects (organisation_id);

-- A retired token routes no more from ends_at_ms on; its row stays, so that nobody else takes it by accident.
ALTER TABLE tokens ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN ends_at_ms INTEGER;

-- API keys and secrets that were replaced and are taken until ends_at_ms. Only recognised, so no sealed copy.
CREATE TABLE former_credentials (
    mac           BLOB PRIMARY KEY CHECK (length(mac) = 32),
    project_id    INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    kind          TEXT NOT NULL CHECK (kind IN ('api_key', 'api_secret')),
    replaced_at_ms INTEGER NOT NULL,
    ends_at_ms    INTEGER NOT NULL,
    last_used_ms  INTEGER,
    uses          INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX former_credentials_of_project ON former_credentials (project_id);
CREATE INDEX former_credentials_by_end ON former_credentials (ends_at_ms);
CREATE INDEX tokens_by_end ON tokens (ends_at_ms) WHERE ends_at_ms IS NOT NULL;

-- While a secret is rotated, the one before is taken too.
ALTER TABLE service_accounts ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE service_accounts ADD COLUMN former_mac BLOB CHECK (length(former_mac) = 32);
ALTER TABLE service_accounts ADD COLUMN former_ends_at_ms INTEGER;
ALTER TABLE service_accounts ADD COLUMN former_last_used_ms INTEGER;
ALTER TABLE service_accounts ADD COLUMN former_uses INTEGER NOT NULL DEFAULT 0;

-- A person's token for the erasure and retrieval of end users' data: one, and for a year at most.
CREATE TABLE gdpr_tokens (
    person_id     INTEGER PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    mac           BLOB NOT NULL UNIQUE CHECK (length(mac) = 32),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    last_used_ms  INTEGER,
    uses          INTEGER NOT NULL DEFAULT 0
) STRICT;
