-- Version 1: who may send and read.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One for now. People and their roles will belong to it, and owners keep it: see the trigger below.
CREATE TABLE organisations (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE organisation_owners (
    organisation_id INTEGER NOT NULL REFERENCES organisations (id),
    owner           TEXT NOT NULL,
    since_ms        INTEGER NOT NULL,
    PRIMARY KEY (organisation_id, owner)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER an_organisation_keeps_an_owner BEFORE DELETE ON organisation_owners
WHEN (SELECT count(*) FROM organisation_owners WHERE organisation_id = OLD.organisation_id) = 1
BEGIN
    SELECT RAISE(ABORT, 'an organisation has at least one owner');
END;

-- uid tells projects of different nodes apart that have the same id.
CREATE TABLE projects (
    id                      INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
    uid                     TEXT NOT NULL UNIQUE CHECK (length(uid) = 32),
    organisation_id         INTEGER NOT NULL REFERENCES organisations (id),
    name                    TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    api_key_mac             BLOB NOT NULL UNIQUE CHECK (length(api_key_mac) = 32),
    api_key_sealed          BLOB NOT NULL,
    api_key_last_used_ms    INTEGER,
    api_secret_mac          BLOB NOT NULL UNIQUE CHECK (length(api_secret_mac) = 32),
    api_secret_sealed       BLOB NOT NULL,
    api_secret_last_used_ms INTEGER,
    accepts_events          INTEGER NOT NULL DEFAULT 1 CHECK (accepts_events IN (0, 1)),
    keeps_client_ip         INTEGER NOT NULL DEFAULT 1 CHECK (keeps_client_ip IN (0, 1)),
    id_merge                TEXT NOT NULL DEFAULT 'original' CHECK (id_merge IN ('original', 'simplified')),
    retention_days          INTEGER CHECK (retention_days > 0),
    created_at_ms           INTEGER NOT NULL,
    created_by              TEXT NOT NULL
) STRICT;

-- Public names, so in plain. Several may send to one project; the oldest is shown for it.
CREATE TABLE tokens (
    token         TEXT PRIMARY KEY CHECK (length(CAST(token AS BLOB)) BETWEEN 1 AND 256),
    project_id    INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by    TEXT NOT NULL,
    last_used_ms  INTEGER,
    UNIQUE (project_id, position)
) STRICT, WITHOUT ROWID;

-- secret_sha256_sealed lets an export carry the account without anybody reading its secret.
CREATE TABLE service_accounts (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id      INTEGER NOT NULL REFERENCES organisations (id),
    username             TEXT NOT NULL UNIQUE CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 256),
    secret_mac           BLOB NOT NULL CHECK (length(secret_mac) = 32),
    secret_sha256_sealed BLOB NOT NULL,
    expires_at_ms        INTEGER,
    created_at_ms        INTEGER NOT NULL,
    created_by           TEXT NOT NULL,
    last_used_ms         INTEGER
) STRICT;

CREATE TABLE service_account_projects (
    service_account_id INTEGER NOT NULL REFERENCES service_accounts (id) ON DELETE CASCADE,
    project_id         INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role               TEXT NOT NULL DEFAULT 'admin' CHECK (role IN ('owner', 'admin', 'analyst', 'consumer')),
    PRIMARY KEY (service_account_id, project_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX service_accounts_of_project ON service_account_projects (project_id);

-- What running servers must look at again. AUTOINCREMENT: a number is never used twice.
CREATE TABLE changes (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    what  TEXT NOT NULL,
    key   TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
) STRICT;
