-- Version 6: a second factor at sign-in.

-- secret_sealed is shared with the person's authenticator. Until confirmed_at_ms it is not asked for: a person who
-- mistyped it is not locked out. A code is of a step of 30 seconds; none of last_step or before counts again.
CREATE TABLE two_factor (
    person_id       INTEGER PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    secret_sealed   BLOB NOT NULL,
    last_step       INTEGER NOT NULL,
    begun_at_ms     INTEGER NOT NULL,
    confirmed_at_ms INTEGER
) STRICT;

-- Those not used yet: each stands in for one code.
CREATE TABLE recovery_codes (
    person_id INTEGER NOT NULL REFERENCES two_factor (person_id) ON DELETE CASCADE,
    mac       BLOB NOT NULL CHECK (length(mac) = 32),
    PRIMARY KEY (person_id, mac)
) STRICT, WITHOUT ROWID;

ALTER TABLE organisations
    ADD COLUMN requires_two_factor INTEGER NOT NULL DEFAULT 0 CHECK (requires_two_factor IN (0, 1));
