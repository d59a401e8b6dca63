-- Version 3: lookup tables. The files are DIR/lookup/<id>/<sha256>.csv.

CREATE TABLE lookup_tables (
    id             TEXT PRIMARY KEY CHECK (length(id) = 36),
    project_id     INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name           TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    created_at_ms  INTEGER NOT NULL,
    created_by     TEXT NOT NULL,
    file_sha256    TEXT CHECK (length(file_sha256) = 64),
    file_bytes     INTEGER,
    file_rows      INTEGER,
    replaced_at_ms INTEGER,
    UNIQUE (project_id, name)
) STRICT, WITHOUT ROWID;
