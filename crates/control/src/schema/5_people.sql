-- Version 5: people, the organisations they belong to, and what they may do there.

-- The actor "command line" of version 1 was no person. An organisation without members is in the hands of whoever may
-- run commands on the host; from its first owner on it keeps one.
DROP TABLE organisation_owners;

-- email_key is the address in lower case: what a person is found by. password_hash is argon2id's, with its parameters.
CREATE TABLE people (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    email           TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    email_key       TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    password_hash   TEXT,
    password_set_ms INTEGER,
    created_at_ms   INTEGER NOT NULL,
    created_by      TEXT NOT NULL
) STRICT;

CREATE TABLE organisation_members (
    organisation_id INTEGER NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    person_id       INTEGER NOT NULL REFERENCES people (id),
    role            TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    added_at_ms     INTEGER NOT NULL,
    added_by        TEXT NOT NULL,
    PRIMARY KEY (organisation_id, person_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX organisations_of_person ON organisation_members (person_id);

-- Only of members of the project's organisation: a role in a project goes with the membership.
CREATE TABLE project_members (
    project_id  INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    person_id   INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    role        TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'analyst', 'consumer')),
    added_at_ms INTEGER NOT NULL,
    added_by    TEXT NOT NULL,
    PRIMARY KEY (project_id, person_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX projects_of_person ON project_members (person_id);

-- The last line behind the checks of the program. Not in the way of an organisation that goes as a whole: its row has
-- gone by then.
CREATE TRIGGER an_organisation_keeps_an_owner_of_those_that_leave BEFORE DELETE ON organisation_members
WHEN OLD.role = 'owner'
    AND EXISTS (SELECT 1 FROM organisations WHERE id = OLD.organisation_id)
    AND NOT EXISTS (SELECT 1 FROM organisation_members
        WHERE organisation_id = OLD.organisation_id AND role = 'owner' AND person_id <> OLD.person_id)
BEGIN
    SELECT RAISE(ABORT, 'an organisation keeps at least one owner');
END;

CREATE TRIGGER an_organisation_keeps_an_owner_of_those_that_change BEFORE UPDATE ON organisation_members
WHEN OLD.role = 'owner' AND (NEW.role <> 'owner' OR NEW.organisation_id <> OLD.organisation_id)
    AND NOT EXISTS (SELECT 1 FROM organisation_members
        WHERE organisation_id = OLD.organisation_id AND role = 'owner' AND person_id <> OLD.person_id)
BEGIN
    SELECT RAISE(ABORT, 'an organisation keeps at least one owner');
END;

-- address is the sender's, an IPv6 one cut to the network of 64 bits that one household or machine has.
CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id     INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    mac           BLOB NOT NULL UNIQUE CHECK (length(mac) = 32),
    created_at_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL,
    address       TEXT NOT NULL,
    user_agent    TEXT NOT NULL CHECK (length(user_agent) <= 255)
) STRICT;

CREATE INDEX sessions_of_person ON sessions (person_id);

-- Attempts to sign in, for throttling and for the person to see.
CREATE TABLE sign_ins (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms     INTEGER NOT NULL,
    email_key TEXT NOT NULL,
    address   TEXT NOT NULL,
    succeeded INTEGER NOT NULL CHECK (succeeded IN (0, 1))
) STRICT;

CREATE INDEX sign_ins_of_email ON sign_ins (email_key, at_ms);
CREATE INDEX sign_ins_of_address ON sign_ins (address, at_ms);
