-- Version 14: at how many addresses of their own choice people, service accounts and organisations have reached out.

-- who is such as person:7 or organisation:3; those since window_ms are counted, and a row of an hour ago is worth nothing.
CREATE TABLE outreach (
    who       TEXT PRIMARY KEY CHECK (length(who) BETWEEN 1 AND 300),
    window_ms INTEGER NOT NULL,
    addresses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX outreach_by_age ON outreach (window_ms);

-- NULL: not sent by mail. It is once at most.
ALTER TABLE invitations ADD COLUMN mailed_at_ms INTEGER;
