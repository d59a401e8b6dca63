-- Version 13: what used a project's API key and secret, by day.

-- address is what the project keeps of addresses. Both empty: nobody in particular.
CREATE TABLE callers (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('api_key', 'api_secret')),
    day        INTEGER NOT NULL,
    user_agent TEXT NOT NULL CHECK (length(user_agent) <= 128),
    address    TEXT NOT NULL CHECK (length(address) <= 64),
    uses       INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    PRIMARY KEY (project_id, kind, day, user_agent, address)
) STRICT, WITHOUT ROWID;
