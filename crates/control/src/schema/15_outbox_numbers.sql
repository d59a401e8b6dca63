-- Version 15: phone numbers of the outbox are sealed.

-- Of a text message, sealed holds the number with the code, recipient its last digits, and recipient_mac a digest of the
-- number, by which those to one number are counted. Rows of before are brought to that by the program: sealing takes the
-- server's key.
ALTER TABLE outbox ADD COLUMN recipient_mac BLOB CHECK (length(recipient_mac) = 32);

CREATE INDEX outbox_of_number ON outbox (recipient_mac, created_at_ms) WHERE recipient_mac IS NOT NULL;
