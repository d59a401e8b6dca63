-- Version 9: what people set for themselves, and an audit that shows when it was tampered with.

-- Both preferences are off until somebody turns them on.
ALTER TABLE people ADD COLUMN notice_email TEXT CHECK (length(notice_email) BETWEEN 3 AND 254);
ALTER TABLE people ADD COLUMN remembers_views INTEGER NOT NULL DEFAULT 0 CHECK (remembers_views IN (0, 1));
ALTER TABLE people ADD COLUMN logs_usage INTEGER NOT NULL DEFAULT 0 CHECK (logs_usage IN (0, 1));

CREATE TABLE view_settings (
    person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name      TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    value     TEXT NOT NULL CHECK (length(value) <= 4096),
    PRIMARY KEY (person_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_log (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    at_ms     INTEGER NOT NULL,
    page      TEXT NOT NULL CHECK (length(page) <= 255)
) STRICT;

CREATE INDEX usage_of_person ON usage_log (person_id, id);

-- organisation_id and project_id say whose admins may read an entry. digest is of what it says, under a salt that goes
-- when who did it is erased; chain is of the entry before, this one's digest, and the rest.
ALTER TABLE audit ADD COLUMN organisation_id INTEGER;
ALTER TABLE audit ADD COLUMN project_id INTEGER;
ALTER TABLE audit ADD COLUMN salt BLOB;
ALTER TABLE audit ADD COLUMN digest BLOB CHECK (length(digest) = 32);
ALTER TABLE audit ADD COLUMN chain BLOB CHECK (length(chain) = 32);

UPDATE audit SET organisation_id = CAST(subject AS INTEGER) WHERE action GLOB 'organisation.*';
UPDATE audit SET project_id = CAST(subject AS INTEGER),
    organisation_id = (SELECT p.organisation_id FROM projects p WHERE p.id = CAST(audit.subject AS INTEGER))
    WHERE action GLOB 'project.*';

CREATE INDEX audit_of_organisation ON audit (organisation_id, id);
CREATE INDEX audit_of_project ON audit (project_id, id);
CREATE INDEX audit_of_actor ON audit (actor, id);
CREATE INDEX audit_of_subject ON audit (subject, id);

-- Entries from this number on are chained.
INSERT OR REPLACE INTO meta (name, value)
    SELECT 'audit_first_chained', CAST(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0) + 1 AS BLOB);
