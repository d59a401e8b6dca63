//! Projects, credentials, accounting: the rules, in an embedded SQLite store.
