-- Version 19: no organisation gets the number of another one, and the first one is said to be.

-- The last number given; what the audit still says of those that are gone is theirs alone.
CREATE TABLE organisation_numbers (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last INTEGER NOT NULL
) STRICT;

INSERT INTO organisation_numbers VALUES (1, max(
    coalesce((SELECT max(id) FROM organisations), 0),
    coalesce((SELECT max(organisation_id) FROM audit), 0)));

-- Its owners look after the server. Where it is gone, no other takes its place by itself.
ALTER TABLE organisations ADD COLUMN is_first INTEGER NOT NULL DEFAULT 0 CHECK (is_first IN (0, 1));
UPDATE organisations SET is_first = 1 WHERE id = (SELECT min(id) FROM organisations);

CREATE UNIQUE INDEX first_organisation ON organisations (is_first) WHERE is_first = 1;
