-- Version 18: failed attempts to sign in that no longer keep their person out stay on record.

-- Up to and with this row of sign_ins; a row's number, since a clock may be set back.
ALTER TABLE people ADD COLUMN forgiven_sign_in INTEGER NOT NULL DEFAULT 0;
