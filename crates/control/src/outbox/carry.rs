//! Carrying what the outbox holds: what is due, how it went, when it is tried again, and a read-out of all that.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rusqlite::params;
use serde::Serialize;

use super::{Channel, Content, DONE_MAX, KEEP_MS, sealed};
use crate::{Acting, Control, PeopleError, PersonId, StoreError, control::Job};

/// How long after the first, second and further failures a mail is tried again.
const MAIL_AGAIN_MS: &[u64] = &[30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000];
/// A code that comes late is none: it is tried again at once, or not at all.
const TEXT_AGAIN_MS: &[u64] = &[2_000, 5_000, 15_000, 30_000, 60_000];
const ERROR_CHARS_MAX: usize = 500;

/// A message to be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub id: u64,
    /// To which address or number.
    pub recipient: String,
    /// What it says.
    pub content: Content,
}

/// How the sending of a message went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// It was taken by whoever brings it further.
    Sent,
    /// It was not, and may be when tried again: why.
    Later(String),
    /// It never will be: why.
    Refused(String),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// It waits for its next try.
    Waiting,
    /// It was taken by whoever brings it further.
    Sent,
    /// It will not be sent any more.
    Failed,
}

impl MessageState {
    /// As the store and the command line have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MessageState::Waiting => "waiting",
            MessageState::Sent => "sent",
            MessageState::Failed => "failed",
        }
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message as it is shown: never what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct MessageInfo {
    /// Its number.
    pub id: u64,
    /// By which way it goes.
    pub channel: Channel,
    /// What it is about, such as `password-changed`.
    pub about: String,
    /// To which address, or to the phone that ends in which digits.
    pub recipient: String,
    /// When it came into the outbox, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// What became of it.
    pub state: MessageState,
    /// How often it was tried.
    pub tries: u64,
    /// When it is tried next, while it waits.
    pub next_at_ms: Option<u64>,
    /// When it was done with.
    pub done_at_ms: Option<u64>,
    /// Why it was not sent, or not yet.
    pub error: Option<String>,
}

/// How much was carried since this process began, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageStats {
    /// Messages that wait.
    pub waiting: u64,
    /// Mails sent.
    pub mails_sent: u64,
    /// Mails given up.
    pub mails_failed: u64,
    /// Text messages sent.
    pub texts_sent: u64,
    /// Text messages given up.
    pub texts_failed: u64,
}

/// The same, as it is counted: read by a scrape without asking the store.
#[derive(Default)]
pub(crate) struct Gauges {
    waiting: AtomicU64,
    /// By channel, sent and failed.
    done: [[AtomicU64; 2]; 2],
}

impl Gauges {
    fn done(&self, channel: Channel, state: MessageState) -> &AtomicU64 {
        let channel = usize::from(channel == Channel::Text);
        &self.done[channel][usize::from(state == MessageState::Failed)]
    }
}

impl Control {
    /// Messages to be carried by one way now, the oldest first; those that waited too long are given up. What became of each is told
    /// by [`Control::carried`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn due_messages(&self, channel: Channel, limit: usize) -> Result<Vec<Message>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // Mostly there is nothing to do: then nothing is written, nor waited for.
        let (waiting, expired, due) = self.read(|job| {
            let waiting: u64 = job
                .row("SELECT count(*) FROM outbox WHERE state = 'waiting'", [], |row| row.get(0))?
                .unwrap_or(0);
            if waiting == 0 {
                return Ok::<_, StoreError>((0, Vec::new(), Vec::new()));
            }
            let sql = "SELECT id FROM outbox WHERE state = 'waiting' AND expires_at_ms <= ?1";
            let expired: Vec<u64> = job.rows(sql, [job.now_ms], |row| row.get(0))?;
            let sql = "SELECT id, recipient, sealed FROM outbox WHERE state = 'waiting' AND kind = ?3 \
                       AND next_at_ms <= ?1 AND expires_at_ms > ?1 ORDER BY next_at_ms, id LIMIT ?2";
            let due = job.rows(sql, params![job.now_ms, limit, channel.as_str()], |row| {
                Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
            })?;
            Ok((waiting, expired, due))
        })?;
        self.gauges.waiting.store(waiting, Relaxed);
        if !expired.is_empty() {
            self.change(|job| expired.iter().try_for_each(|&id| expire(job, id)))?;
        }
        let mut messages = Vec::with_capacity(due.len());
        for (id, recipient, sealed) in due {
            match sealed::open(&self.keyring, recipient, &sealed) {
                Some((recipient, content)) => messages.push(Message { id, recipient, content }),
                None => {
                    let why = Sending::Refused("it does not open under keys/server.key".to_owned());
                    self.carried(id, &why)?;
                }
            }
        }
        Ok(messages)
    }

    /// Tells what became of a message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn carried(&self, id: u64, sending: &Sending) -> Result<(), StoreError> {
        self.change(|job| match sending {
            Sending::Sent => {
                job.execute("UPDATE outbox SET tries = tries + 1 WHERE id = ?1", [id])?;
                done(job, id, MessageState::Sent, None)
            }
            Sending::Later(why) => again(job, id, why),
            Sending::Refused(why) => {
                job.execute("UPDATE outbox SET tries = tries + 1 WHERE id = ?1", [id])?;
                give_up(job, id, why)
            }
        })
    }

    /// How much was carried since this process began, and what waits. Asks nothing of the store.
    #[must_use]
    pub fn message_stats(&self) -> MessageStats {
        let done = |channel, state| self.gauges.done(channel, state).load(Relaxed);
        MessageStats {
            waiting: self.gauges.waiting.load(Relaxed),
            mails_sent: done(Channel::Mail, MessageState::Sent),
            mails_failed: done(Channel::Mail, MessageState::Failed),
            texts_sent: done(Channel::Text, MessageState::Sent),
            texts_failed: done(Channel::Text, MessageState::Failed),
        }
    }
}

impl Acting<'_> {
    /// The messages of the outbox, newest first: the host's to see. `only` those in a state, if given.
    ///
    /// # Errors
    /// [`PeopleError::HostOnly`].
    pub fn messages(
        &self,
        only: Option<MessageState>,
        limit: usize,
    ) -> Result<Vec<MessageInfo>, PeopleError> {
        self.require_host()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|job| {
            let condition = only.map_or("1".to_owned(), |state| format!("state = '{state}'"));
            Ok(infos(job, &format!("{condition} ORDER BY id DESC LIMIT ?1"), limit)?)
        })
    }
}

/// The messages to a person, oldest first.
pub(crate) fn of_person(job: &Job<'_>, id: PersonId) -> Result<Vec<MessageInfo>, StoreError> {
    let id = i64::try_from(id.0).unwrap_or(i64::MAX);
    infos(job, "person_id = ?1 ORDER BY id", id)
}

/// Forgets the messages to a person that are done; says how many. What waits is sent first.
pub(crate) fn forget(job: &Job<'_>, id: PersonId) -> Result<usize, StoreError> {
    let sql = "DELETE FROM outbox WHERE person_id = ?1 AND state <> 'waiting'";
    job.execute(sql, [id.0])
}

fn infos(job: &Job<'_>, condition: &str, value: i64) -> Result<Vec<MessageInfo>, StoreError> {
    let sql = format!(
        "SELECT id, kind, about, recipient, created_at_ms, state, tries, next_at_ms, done_at_ms, error FROM outbox \
         WHERE {condition}"
    );
    job.rows(&sql, [value], |row| {
        let state = match row.get::<_, String>(5)?.as_str() {
            "sent" => MessageState::Sent,
            "failed" => MessageState::Failed,
            _ => MessageState::Waiting,
        };
        Ok(MessageInfo {
            id: row.get(0)?,
            channel: if row.get::<_, String>(1)? == "mail" { Channel::Mail } else { Channel::Text },
            about: row.get(2)?,
            recipient: row.get(3)?,
            created_at_ms: row.get(4)?,
            state,
            tries: row.get(6)?,
            next_at_ms: if state == MessageState::Waiting { row.get(7)? } else { None },
            done_at_ms: row.get(8)?,
            error: row.get(9)?,
        })
    })
}

/// Notes that a try failed, and when the next one is: or gives it up, if none is in time.
fn again(job: &Job<'_>, id: u64, why: &str) -> Result<(), StoreError> {
    let sql = "SELECT kind, tries, expires_at_ms FROM outbox WHERE id = ?1 AND state = 'waiting'";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?))
    };
    let Some((kind, tries, expires_at_ms)) = job.row(sql, [id], row)? else { return Ok(()) };
    let steps = if kind == "mail" { MAIL_AGAIN_MS } else { TEXT_AGAIN_MS };
    let step = usize::try_from(tries).unwrap_or(usize::MAX).min(steps.len() - 1);
    let next_at_ms = job.now_ms + steps[step];
    let sql = "UPDATE outbox SET tries = tries + 1, next_at_ms = ?2, error = ?3 WHERE id = ?1";
    job.execute(sql, params![id, next_at_ms, cut(why)])?;
    if next_at_ms >= expires_at_ms { give_up(job, id, why) } else { Ok(()) }
}

fn expire(job: &Job<'_>, id: u64) -> Result<(), StoreError> {
    let sql = "SELECT error FROM outbox WHERE id = ?1";
    let last: Option<String> = job.row(sql, [id], |row| row.get(0))?.flatten();
    let why = last.map_or("waited until it was of no use".to_owned(), |last| {
        format!("waited until it was of no use: {last}")
    });
    give_up(job, id, &why)
}

/// Sends it no more: why.
pub(super) fn give_up(job: &Job<'_>, id: u64, why: &str) -> Result<(), StoreError> {
    done(job, id, MessageState::Failed, Some(why))
}

fn done(job: &Job<'_>, id: u64, state: MessageState, why: Option<&str>) -> Result<(), StoreError> {
    let sql = "SELECT kind FROM outbox WHERE id = ?1 AND state = 'waiting'";
    let Some(kind) = job.row(sql, [id], |row| row.get::<_, String>(0))? else { return Ok(()) };
    let sql = "UPDATE outbox SET state = ?2, sealed = NULL, done_at_ms = ?3, error = ?4 WHERE id = ?1";
    job.execute(sql, params![id, state.as_str(), job.now_ms, why.map(cut)])?;
    let channel = if kind == "mail" { Channel::Mail } else { Channel::Text };
    job.control.gauges.done(channel, state).fetch_add(1, Relaxed);
    if let Some(why) = why {
        tracing::warn!(message = id, channel = channel.as_str(), why, "a message was not sent");
    }
    // Of somebody who is gone, no address stays.
    let sql = "UPDATE outbox SET recipient = 'somebody who left', recipient_mac = NULL, error = NULL WHERE id = ?1 AND person_id IS NOT NULL \
               AND NOT EXISTS (SELECT 1 FROM people WHERE people.id = outbox.person_id)";
    job.execute(sql, [id])?;
    let sql = "DELETE FROM outbox WHERE state <> 'waiting' AND (done_at_ms < ?1 OR id <= \
               (SELECT id FROM outbox WHERE state <> 'waiting' ORDER BY id DESC LIMIT 1 OFFSET ?2))";
    job.execute(sql, params![job.now_ms.saturating_sub(KEEP_MS), DONE_MAX])?;
    Ok(())
}

fn cut(why: &str) -> String {
    why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_CHARS_MAX).collect()
}
