//! The store's tables, in versions: each migration is a file, applied once and never changed after.
//!
//! # Invariants
//! * `user_version` says how many migrations the store has had; a migration and its number are one
//!   transaction.
//! * A store with a later version than known is refused, not guessed at.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::{OpenError, StoreError, accounting};

/// In order; the first brings an empty store to version 1.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("schema/1_projects.sql"),
    include_str!("schema/2_accounting.sql"),
    include_str!("schema/3_lookup_tables.sql"),
    include_str!("schema/4_counted.sql"),
    include_str!("schema/5_people.sql"),
    include_str!("schema/6_two_factor.sql"),
    include_str!("schema/7_invitations.sql"),
    include_str!("schema/8_credentials.sql"),
    include_str!("schema/9_personal.sql"),
    include_str!("schema/10_service_accounts.sql"),
    include_str!("schema/11_outbox.sql"),
    include_str!("schema/12_phone.sql"),
    include_str!("schema/13_callers.sql"),
    include_str!("schema/14_outreach.sql"),
    include_str!("schema/15_outbox_numbers.sql"),
    include_str!("schema/16_browsers.sql"),
    include_str!("schema/17_pages.sql"),
    include_str!("schema/18_forgiven.sql"),
    include_str!("schema/19_numbers.sql"),
    include_str!("schema/20_made_for.sql"),
];

/// The version that has the accounting in pages: what was in rows takes more than SQL to bring there.
const PAGES: i64 = 17;

/// Brings the store to the latest version.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let wrap = |source| StoreError::of(path, source);
    let known = i64::try_from(MIGRATIONS.len()).expect("a handful");
    if version(connection).map_err(wrap)? == known {
        return Ok(());
    }
    // Of two processes that do this at once the second waits here, and finds it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    let found = version(&transaction).map_err(wrap)?;
    for (before, sql) in (found..).zip(missing(found, path)?) {
        transaction.execute_batch(sql).map_err(wrap)?;
        if before + 1 == PAGES {
            accounting::of_rows(&transaction, |what| StoreError::Damaged { path: path.to_owned(), what })?;
        }
    }
    transaction.pragma_update(None, "user_version", known).map_err(wrap)?;
    transaction.commit().map_err(wrap)?;
    Ok(())
}

/// Refuses a store of a later version, and changes nothing.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = version(connection).map_err(|source| StoreError::of(path, source))?;
    missing(found, path).map(drop)
}

/// The migrations that a store of version `found` has not had.
fn missing(found: i64, path: &Path) -> Result<&'static [&'static str], OpenError> {
    let missing = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..));
    let known = i64::try_from(MIGRATIONS.len()).expect("a handful");
    missing.ok_or_else(|| OpenError::TooNew { path: path.to_owned(), found, known })
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
