-- Version 20: for whom service accounts reach out.

-- The person who made it, or made the account that made it, however far back. NULL: the host did, or they are gone.
ALTER TABLE service_accounts ADD COLUMN made_for INTEGER REFERENCES people (id) ON DELETE SET NULL;

UPDATE service_accounts SET made_for = (
    WITH RECURSIVE makers (who, steps) AS (
        VALUES (service_accounts.created_by, 0)
        UNION ALL
        SELECT a.created_by, m.steps + 1 FROM makers m
            JOIN service_accounts a ON m.who = 'service_account:' || a.username WHERE m.steps < 100
    )
    SELECT p.id FROM makers m JOIN people p ON m.who = 'person:' || p.id LIMIT 1);
