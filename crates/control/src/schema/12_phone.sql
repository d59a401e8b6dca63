-- Version 12: a phone as second factor.

-- kind says what secret_sealed is: the secret shared with an authenticator, or the number of a phone.
ALTER TABLE two_factor ADD COLUMN kind TEXT NOT NULL DEFAULT 'totp' CHECK (kind IN ('totp', 'phone'));
