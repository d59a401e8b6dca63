-- Version 2: what became of every event.

-- owner: a project's id, 0 for events of nobody, -1 for events under tokens of no project.
-- minute_ms 0 holds the sum of all minutes that were pruned. Older minutes are summed up by hour, in the
-- row of the hour's first minute. No index by owner: it would take as much as the table.
CREATE TABLE accounting (
    minute_ms INTEGER NOT NULL,
    owner     INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    events    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (minute_ms, owner, kind, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE refusals (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms    INTEGER NOT NULL,
    owner    INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    reason   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    events   INTEGER NOT NULL,
    sample   TEXT NOT NULL
) STRICT;

CREATE INDEX refusals_of_owner ON refusals (owner, id);

CREATE TABLE unknown_tokens (
    token         BLOB PRIMARY KEY,
    events        INTEGER NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
