//! The outbox: what is to be sent to people, put there by the transaction that gives cause for it.
//!
//! # Invariants
//! * A message and its cause are one transaction: none is sent for what was rolled back, and none is lost between a change
//!   and its sending. Whoever carries them ([`Control::due_messages`]) may do so twice after a crash, and never not at all
//!   without it being told here.
//! * What a message says is sealed while it waits, and gone when it is done; so is the number of a phone: [`sealed`].
//! * The outbox is bounded: at most [`WAITING_MAX`] wait, each for a time; of those that are done the last [`DONE_MAX`] are
//!   kept, for [`KEEP_MS`].
//! * Nothing is put there where nothing is carried: see [`Control::set_channels`].

mod carry;
mod notice;
mod sealed;

use std::fmt;

use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::{Control, PersonId, StoreError, control::Job};
use sealed::Row;

pub(crate) use carry::{Gauges, forget, of_person};
pub use carry::{Message, MessageInfo, MessageState, MessageStats, Sending};
pub(crate) use notice::{Notice, project_owners, quoted, tell, tell_at, tell_owners};
pub(crate) use sealed::seal_numbers;

/// More than so many do not wait: the one that was to be tried last gives way, and is told of as failed.
const WAITING_MAX: u64 = 2000;
/// To one address or number, of all that an hour brings. What is more is told of as failed.
const HOURLY_MAX: u64 = 30;
const HOUR_MS: u64 = 3_600_000;
/// A mail that could not be handed over for so long says nothing new to anybody.
const MAIL_MS: u64 = 48 * HOUR_MS;
/// Of messages that are done, so many are kept, and so long, to be looked at.
const DONE_MAX: i64 = 1000;
const KEEP_MS: u64 = 30 * 24 * HOUR_MS;

/// By which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Mail.
    Mail,
    /// A text message to a phone.
    Text,
}

impl Channel {
    /// As the store and the command line have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Mail => "mail",
            Channel::Text => "text",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a server of this store carries: told at its start, so that the command line knows it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// Mail is sent.
    pub mail: bool,
    /// Text messages are sent.
    pub text: bool,
    /// Where people reach the console, for links in mails.
    pub console_url: Option<String>,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A mail.
    Mail {
        /// Its subject.
        subject: String,
        /// Its text: paragraphs and lines.
        text: String,
    },
    /// A code for a phone.
    Code(String),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(..)")
    }
}

/// A message to be put into the outbox.
pub(crate) struct Draft<'a> {
    pub(crate) about: &'a str,
    pub(crate) recipient: &'a str,
    /// Whom it is for, where that is a person of the store.
    pub(crate) person: Option<PersonId>,
    pub(crate) content: &'a Content,
    /// When it is of no use any more; left out, after [`MAIL_MS`].
    pub(crate) expires_at_ms: Option<u64>,
}

impl Control {
    /// Says which messages are carried from now on. What waits for a way that is gone, waits until it ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_channels(&self, channels: &Channels) -> Result<(), StoreError> {
        self.change(|job| {
            if self::channels(job)? == *channels {
                return Ok(());
            }
            let text = serde_json::to_vec(channels).map_err(|e| job.damaged(e.to_string()))?;
            job.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('channels', ?1)", [text]).map(drop)
        })
    }

    /// Which messages are carried.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn channels(&self) -> Result<Channels, StoreError> {
        self.read(channels)
    }
}

/// Which messages are carried.
pub(crate) fn channels(job: &Job<'_>) -> Result<Channels, StoreError> {
    let sql = "SELECT value FROM meta WHERE name = 'channels'";
    let Some(text) = job.row(sql, [], |row| row.get::<_, Vec<u8>>(0))? else {
        return Ok(Channels::default());
    };
    serde_json::from_slice(&text).map_err(|e| job.damaged(format!("the row channels of meta is none: {e}")))
}

/// Puts a message into the outbox, if its way is carried.
pub(crate) fn put(job: &Job<'_>, draft: &Draft<'_>) -> Result<(), StoreError> {
    let channels = channels(job)?;
    let (channel, is_carried) = match draft.content {
        Content::Mail { .. } => (Channel::Mail, channels.mail),
        Content::Code(_) => (Channel::Text, channels.text),
    };
    if !is_carried {
        return Ok(());
    }
    let Row { recipient, mac, sealed } = sealed::seal(job, draft.recipient, draft.content)?;
    let expires_at_ms = draft.expires_at_ms.unwrap_or(job.now_ms + MAIL_MS);
    job.execute(
        "INSERT INTO outbox (kind, about, recipient, person_id, sealed, created_at_ms, expires_at_ms, next_at_ms, \
         recipient_mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, ?8)",
        params![
            channel.as_str(),
            draft.about,
            recipient,
            draft.person.map(|person| person.0),
            sealed,
            job.now_ms,
            expires_at_ms,
            mac
        ],
    )?;
    let id = job.last_id()?;
    // Each kind by itself: what others have sent to somebody, an invitation, leaves room for what that person must hear.
    let column = if mac.is_some() { "recipient_mac" } else { "recipient" };
    let sql =
        format!("SELECT count(*) FROM outbox WHERE {column} = ?1 AND about = ?2 AND created_at_ms > ?3");
    let hour_ago = job.now_ms.saturating_sub(HOUR_MS);
    let count = |row: &rusqlite::Row<'_>| row.get::<_, u64>(0);
    let of_hour = match mac {
        Some(mac) => job.row(&sql, params![mac, draft.about, hour_ago], count)?,
        None => job.row(&sql, params![recipient, draft.about, hour_ago], count)?,
    };
    let of_hour = of_hour.unwrap_or(0);
    if of_hour > HOURLY_MAX {
        let why = format!("not tried: more than {HOURLY_MAX} messages of a kind to one recipient in an hour");
        return carry::give_up(job, id, &why);
    }
    let waiting: u64 =
        job.row("SELECT count(*) FROM outbox WHERE state = 'waiting'", [], |row| row.get(0))?.unwrap_or(0);
    if waiting > WAITING_MAX {
        let sql = "SELECT id FROM outbox WHERE state = 'waiting' ORDER BY next_at_ms DESC, id DESC LIMIT 1";
        if let Some(last) = job.row(sql, [], |row| row.get(0))? {
            carry::give_up(job, last, &format!("not tried further: more than {WAITING_MAX} messages wait"))?;
        }
    }
    Ok(())
}
