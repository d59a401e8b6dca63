-- Version 7: how people come in: by invitation, and the first one by the link that the first start prints.

-- mac is of a code told once. invited_by is the person who did it, NULL for the host: an invitation is worth what its
-- giver may give, when it is taken.
CREATE TABLE invitations (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    mac             BLOB NOT NULL UNIQUE CHECK (length(mac) = 32),
    organisation_id INTEGER NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    email           TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    email_key       TEXT NOT NULL,
    role            TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    project_id      INTEGER REFERENCES projects (id) ON DELETE CASCADE,
    project_role    TEXT CHECK (project_role IN ('owner', 'admin', 'analyst', 'consumer')),
    invited_by      INTEGER REFERENCES people (id) ON DELETE CASCADE,
    created_at_ms   INTEGER NOT NULL,
    created_by      TEXT NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    CHECK ((project_id IS NULL) = (project_role IS NULL)),
    UNIQUE (organisation_id, email_key)
) STRICT;

-- At most one, while there are no people.
CREATE TABLE setup_codes (
    mac           BLOB PRIMARY KEY CHECK (length(mac) = 32),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
