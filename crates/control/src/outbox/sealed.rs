//! What the outbox keeps of a message: what it says is sealed, and so is the number that a text message goes to.
//!
//! # Invariants
//! * Of a number, nothing is kept in plain but its last digits, which tell an operator which phone is meant. The number goes
//!   with the seal, when the message is done.
//! * What waited before numbers were sealed is sealed when the store is opened, and still goes out.

use forebay_route::Mac;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::Content;
use crate::{
    Control, Keyring, StoreError,
    control::Job,
    person::{key, masked},
};

/// What mails are sealed for, and were text messages before their numbers were.
const MAIL: &str = "message of the outbox";
/// What text messages are sealed for, each with its number.
const TEXT: &str = "text message of the outbox, with its number";

/// A message as a row has it.
pub(super) struct Row {
    /// An address, or the last digits of a number.
    pub(super) recipient: String,
    /// Of a number: what those to it are counted by.
    pub(super) mac: Option<[u8; 32]>,
    /// What it says, and to which number.
    pub(super) sealed: Vec<u8>,
}

/// Seals a message.
pub(super) fn seal(job: &Job<'_>, recipient: &str, content: &Content) -> Result<Row, StoreError> {
    let damaged = |e: serde_json::Error| job.damaged(e.to_string());
    let keyring = &job.control.keyring;
    match content {
        Content::Mail { .. } => {
            let text = serde_json::to_vec(content).map_err(damaged)?;
            // However it is capitalised, it is one.
            Ok(Row { recipient: key(recipient), mac: None, sealed: keyring.seal(MAIL, &text)? })
        }
        Content::Code(_) => {
            let text = serde_json::to_vec(&(recipient, content)).map_err(damaged)?;
            Ok(Row {
                recipient: masked(recipient),
                mac: Some(mac(keyring, recipient)),
                sealed: keyring.seal(TEXT, &text)?,
            })
        }
    }
}

/// To whom a message goes and what it says; `None` if it does not open.
pub(super) fn open(keyring: &Keyring, recipient: String, sealed: &[u8]) -> Option<(String, Content)> {
    if let Some(text) = keyring.open(TEXT, sealed) {
        return serde_json::from_slice(&text).ok();
    }
    let content = serde_json::from_slice(&keyring.open(MAIL, sealed)?).ok()?;
    matches!(content, Content::Mail { .. }).then_some((recipient, content))
}

fn mac(keyring: &Keyring, number: &str) -> [u8; 32] {
    let Mac(mac) = keyring.mac(format!("number that a message goes to: {number}").as_bytes());
    mac
}

impl Control {
    /// Writes the messages of the outbox as the version before numbers were sealed: all to the number that message `id` goes
    /// to.
    ///
    /// # Errors
    /// [`StoreError`].
    #[doc(hidden)]
    pub fn seal_numbers_as_before_for_tests(&self, id: u64) -> Result<(), StoreError> {
        self.change(|job| {
            let sql = "SELECT recipient, sealed FROM outbox WHERE id = ?1";
            let row = job.row(sql, [id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            let opened = row.and_then(|(recipient, sealed)| open(&self.keyring, recipient, &sealed));
            let (number, content) = opened.ok_or_else(|| job.damaged(format!("no message {id}")))?;
            let text = serde_json::to_vec(&content).map_err(|e| job.damaged(e.to_string()))?;
            let sealed = self.keyring.seal(MAIL, &text)?;
            job.execute("UPDATE outbox SET recipient = ?1, recipient_mac = NULL", [&number])?;
            job.execute("UPDATE outbox SET sealed = ?2 WHERE id = ?1", params![id, sealed]).map(drop)
        })
    }
}

/// Seals the numbers of messages that an earlier version has put there, and keeps what waits. Done when there are none.
pub(crate) fn seal_numbers(connection: &mut Connection, keyring: &Keyring) -> rusqlite::Result<()> {
    const PLAIN: &str = "kind = 'text' AND recipient_mac IS NULL AND recipient LIKE '+%'";
    let is_plain = |connection: &Connection| {
        let sql = format!("SELECT 1 FROM outbox WHERE {PLAIN} LIMIT 1");
        connection.query_row(&sql, [], |_| Ok(())).optional()
    };
    if is_plain(connection)?.is_none() {
        return Ok(());
    }
    // What stood there is overwritten, and not left in the file for whoever looks at its unused bytes.
    connection.pragma_update(None, "secure_delete", true)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows: Vec<(u64, String, Option<Vec<u8>>)> = transaction
        .prepare(&format!("SELECT id, recipient, sealed FROM outbox WHERE {PLAIN}"))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (id, number, sealed) in rows {
        let plain = sealed.as_ref().and_then(|sealed| keyring.open(MAIL, sealed));
        let content = plain.and_then(|text| serde_json::from_slice::<Content>(&text).ok());
        let text = content.and_then(|content| serde_json::to_vec(&(&number, &content)).ok());
        // What did not open stays as it is, and is told of as failed when it is due.
        let sealed = match text.map(|text| keyring.seal(TEXT, &text)).transpose() {
            Ok(resealed) => resealed.or(sealed),
            Err(error) => return Err(rusqlite::Error::ToSqlConversionFailure(error.into())),
        };
        let sql = "UPDATE outbox SET recipient = ?2, recipient_mac = ?3, sealed = ?4 WHERE id = ?1";
        transaction.execute(sql, params![id, masked(&number), mac(keyring, &number), sealed])?;
    }
    transaction.commit()?;
    // And out of the journal; where somebody else reads, its pages are overwritten as time goes by.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.pragma_update(None, "secure_delete", false)
}
