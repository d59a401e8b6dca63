-- Version 17: the accounting in pages, so that a booking costs the same however many projects it is of.

-- The program turns these rows into pages, and drops them.
ALTER TABLE accounting RENAME TO accounting_rows;

-- A page has rows of one minute, of owners from first_owner to last_owner; several of one minute add up. Those that are
-- booked hold what came in since the last booking, and are merged when their minute is over. minute_ms is as it was:
-- 0 holds the sum of all minutes that were pruned, and older minutes are summed up in their hour's first.
CREATE TABLE accounting (
    id          INTEGER PRIMARY KEY,
    minute_ms   INTEGER NOT NULL,
    booked      INTEGER NOT NULL CHECK (booked IN (0, 1)),
    first_owner INTEGER NOT NULL,
    last_owner  INTEGER NOT NULL,
    rows        INTEGER NOT NULL,
    page        BLOB NOT NULL
) STRICT;

CREATE INDEX accounting_by_minute ON accounting (minute_ms);
CREATE INDEX accounting_booked ON accounting (minute_ms) WHERE booked;

-- How many events each project received in all, and in which minute the last: of pages that were merged, from this
-- version on. A page has the projects from first_project to the next page's.
CREATE TABLE received (
    first_project INTEGER PRIMARY KEY,
    page          BLOB NOT NULL
) STRICT;

-- How many of a project's received events stand in its tokens' own counts, or did, of tokens that are gone. The others
-- came in under its one token. Projects that never had several have no row.
CREATE TABLE token_events (
    project_id INTEGER PRIMARY KEY,
    events     INTEGER NOT NULL
) STRICT;
