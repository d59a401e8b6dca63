-- Version 4: how far the accounting has counted the log.

-- Each record of the lane below seq stands in the accounting as stored; none from there on does. Written
-- with the rows it belongs to. A lane without a row has not been counted at all; a store without any row
-- was made before this was kept.
CREATE TABLE counted (
    lane INTEGER PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT;
