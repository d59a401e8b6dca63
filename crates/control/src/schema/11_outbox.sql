-- Version 11: what is to be sent to people, and the codes that prove that an address or a number is theirs.

-- sealed is what the message says: a link or a code in it may let somebody in. It goes when the message is done.
CREATE TABLE outbox (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT NOT NULL CHECK (kind IN ('mail', 'text')),
    about         TEXT NOT NULL CHECK (length(about) BETWEEN 1 AND 64),
    recipient     TEXT NOT NULL CHECK (length(recipient) BETWEEN 1 AND 254),
    person_id     INTEGER,
    sealed        BLOB,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    next_at_ms    INTEGER NOT NULL,
    tries         INTEGER NOT NULL DEFAULT 0,
    state         TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    done_at_ms    INTEGER,
    error         TEXT CHECK (length(error) <= 500)
) STRICT;

CREATE INDEX outbox_due ON outbox (next_at_ms) WHERE state = 'waiting';
CREATE INDEX outbox_of_person ON outbox (person_id);
CREATE INDEX outbox_of_recipient ON outbox (recipient, created_at_ms);

-- At most one of a person for each purpose; mac is of the code and of what it proves. sends counts those since window_ms.
CREATE TABLE codes (
    person_id     INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    purpose       TEXT NOT NULL CHECK (purpose IN ('notice_email', 'phone')),
    mac           BLOB NOT NULL CHECK (length(mac) = 32),
    sent_at_ms    INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    tries         INTEGER NOT NULL,
    window_ms     INTEGER NOT NULL,
    sends         INTEGER NOT NULL,
    PRIMARY KEY (person_id, purpose)
) STRICT, WITHOUT ROWID;

-- NULL: nobody has shown yet that what is sent there arrives.
ALTER TABLE people ADD COLUMN notice_email_confirmed_ms INTEGER;
ALTER TABLE people ADD COLUMN tells_sign_ins INTEGER NOT NULL DEFAULT 1 CHECK (tells_sign_ins IN (0, 1));
