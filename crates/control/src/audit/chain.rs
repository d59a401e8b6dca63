//! What makes the audit show that it was tampered with: each entry is bound to the one before by a digest under the
//! server's key.
//!
//! An entry's own digest is of a salt, who did it, to whom and with which values. The chain is of that digest, and of the
//! number, the time, the action and whose it is. So who did something can be forgotten, salt and all, and the chain still
//! holds: that there was such an entry, then, stays proven.
//!
//! # Invariants
//! * Nobody without the server's key makes an entry that fits, changes one, takes one out or puts one in.
//! * What was cut off at the end shows by the number of the last entry, unless that was set back too: for that the head,
//!   as `forebay audit verify` prints it, is kept elsewhere, and asked for again.

use hmac::Mac as _;
use rusqlite::params;
use serde::Serialize;

use crate::{
    Acting, PeopleError, StoreError,
    control::Job,
    keyring::{hex, unhex},
};

/// Of damage found, so many are told.
const DAMAGE_MAX: usize = 100;
/// What the first entry is bound to.
const BEGINNING: [u8; 32] = [0; 32];
/// Read at once.
const BATCH: u64 = 1000;

/// What of an entry is bound to the one before.
pub(crate) struct Link<'a> {
    pub(crate) id: u64,
    pub(crate) at_ms: u64,
    pub(crate) action: &'a str,
    pub(crate) organisation: Option<u64>,
    pub(crate) project: Option<u64>,
    pub(crate) digest: [u8; 32],
}

impl Link<'_> {
    pub(crate) fn chained_to(&self, job: &Job<'_>, before: &[u8; 32]) -> [u8; 32] {
        let number = |number: Option<u64>| number.map_or(u64::MAX, |number| number).to_le_bytes();
        let mut hmac = job.control.keyring.audit();
        for part in [&before[..], &self.digest, &self.id.to_le_bytes(), &self.at_ms.to_le_bytes()] {
            hmac.update(part);
        }
        hmac.update(&number(self.organisation));
        hmac.update(&number(self.project));
        hmac.update(self.action.as_bytes());
        hmac.finalize().into_bytes().into()
    }
}

/// The digest of what an entry says.
pub(crate) fn digest(job: &Job<'_>, salt: &[u8], actor: &str, subject: &str, detail: &str) -> [u8; 32] {
    let mut hmac = job.control.keyring.audit();
    for part in [salt, actor.as_bytes(), subject.as_bytes(), detail.as_bytes()] {
        // With its length, so that nothing can move from one to the next.
        hmac.update(&(part.len() as u64).to_le_bytes());
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

/// What the next entry is bound to.
pub(crate) fn head(job: &Job<'_>) -> Result<[u8; 32], StoreError> {
    let sql = "SELECT chain FROM audit ORDER BY id DESC LIMIT 1";
    match job.row(sql, [], |row| row.get::<_, Option<[u8; 32]>>(0))?.flatten() {
        Some(chain) => Ok(chain),
        None => Ok(pruned(job)?.map_or(BEGINNING, |(_, chain)| chain)),
    }
}

/// The last entry that went by its age, and what the next one is bound to.
fn pruned(job: &Job<'_>) -> Result<Option<(u64, [u8; 32])>, StoreError> {
    let sql = "SELECT value FROM meta WHERE name = 'audit_pruned'";
    let Some(value) = job.row(sql, [], |row| row.get::<_, Vec<u8>>(0))? else { return Ok(None) };
    let (id, chain) = value.split_at_checked(8).unwrap_or_default();
    match (id.try_into(), chain.try_into()) {
        (Ok(id), Ok(chain)) => Ok(Some((u64::from_le_bytes(id), chain))),
        _ => {
            Err(job
                .damaged("what the audit remembers of its oldest entries is no number and digest".to_owned()))
        }
    }
}

/// Deletes the entries before a time, and remembers what the rest is bound to.
pub(crate) fn prune(job: &Job<'_>, before_ms: u64) -> Result<(), StoreError> {
    // By number, so that it is always the beginning that goes, whatever the clock did.
    let sql = "SELECT id, chain FROM audit WHERE at_ms < ?1 ORDER BY id DESC LIMIT 1";
    let last =
        job.row(sql, [before_ms], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Option<[u8; 32]>>(1)?)))?;
    let Some((id, chain)) = last else { return Ok(()) };
    if let Some(chain) = chain {
        let value = [&id.to_le_bytes()[..], &chain].concat();
        job.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('audit_pruned', ?1)", [value])?;
    }
    job.execute("DELETE FROM audit WHERE id <= ?1", [id])?;
    Ok(())
}

/// What a check of the audit came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct AuditReport {
    /// How many entries there are.
    pub entries: u64,
    /// Of them, those written before entries were chained: they prove nothing.
    pub unchained: u64,
    /// Of them, those whose actor was replaced by a pseudonym: that they were there is proven, not what they said.
    pub erased: u64,
    /// The number of the last one.
    pub last: u64,
    /// What the next one is bound to, in hexadecimal: to be kept elsewhere, with the number of the last one.
    pub head: String,
    /// What is wrong, at most a hundred places; nothing: nobody tampered with it.
    pub damage: Vec<AuditDamage>,
}

/// A place where the audit does not fit together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct AuditDamage {
    /// The number of the entry.
    pub id: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl Acting<'_> {
    /// Checks the whole audit: the host's. `noted` are numbers of entries and the heads that were printed after them.
    ///
    /// # Errors
    /// [`PeopleError::HostOnly`].
    pub fn verify_audit(&self, noted: &[(u64, String)]) -> Result<AuditReport, PeopleError> {
        self.require_host()?;
        self.read(|job| Ok(verify(job, noted)?))
    }
}

struct Row {
    id: u64,
    at_ms: u64,
    texts: [String; 4],
    organisation: Option<u64>,
    project: Option<u64>,
    salt: Option<Vec<u8>>,
    digest: Option<[u8; 32]>,
    chain: Option<[u8; 32]>,
}

fn rows(job: &Job<'_>, after: u64) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT id, at_ms, actor, action, subject, detail, organisation_id, project_id, salt, digest, chain \
               FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2";
    job.rows(sql, [after, BATCH], |row| {
        Ok(Row {
            id: row.get(0)?,
            at_ms: row.get(1)?,
            texts: [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?],
            organisation: row.get(6)?,
            project: row.get(7)?,
            salt: row.get(8)?,
            digest: row.get(9)?,
            chain: row.get(10)?,
        })
    })
}

fn verify(job: &Job<'_>, noted: &[(u64, String)]) -> Result<AuditReport, StoreError> {
    let sql = "SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE name = 'audit_first_chained'";
    let first_chained: u64 = job.row(sql, [], |row| row.get(0))?.unwrap_or(1);
    let pruned = pruned(job)?;
    let (mut last, mut before) = pruned.unwrap_or((0, BEGINNING));
    let mut report =
        AuditReport { entries: 0, unchained: 0, erased: 0, last, head: String::new(), damage: Vec::new() };
    let tell = |damage: &mut Vec<AuditDamage>, id, what| {
        if damage.len() < DAMAGE_MAX {
            damage.push(AuditDamage { id, what });
        }
    };
    let mut open: Vec<_> = noted.iter().filter(|(id, _)| pruned.is_none_or(|(gone, _)| *id > gone)).collect();
    loop {
        let batch = rows(job, last)?;
        let Some(newest) = batch.last() else { break };
        last = newest.id;
        for row in batch {
            report.entries += 1;
            let Row { id, at_ms, texts: [actor, action, subject, detail], organisation, project, .. } = &row;
            if *id < first_chained {
                report.unchained += 1;
                continue;
            }
            let (Some(own), Some(chain)) = (row.digest, row.chain) else {
                tell(&mut report.damage, *id, "it is not chained");
                continue;
            };
            match &row.salt {
                Some(salt) if digest(job, salt, actor, subject, detail) != own => {
                    tell(&mut report.damage, *id, "what it says was changed");
                }
                Some(_) => {}
                None => report.erased += 1,
            }
            let link = Link {
                id: *id,
                at_ms: *at_ms,
                action,
                organisation: *organisation,
                project: *project,
                digest: own,
            };
            if link.chained_to(job, &before) != chain {
                tell(
                    &mut report.damage,
                    *id,
                    "it does not follow the one before: one was changed, put in or taken out",
                );
            }
            before = chain;
            open.retain(|(noted, head)| {
                if noted == id && unhex(head) != Some(chain) {
                    tell(&mut report.damage, *id, "it has another head than was noted");
                }
                noted != id
            });
        }
    }
    for (id, _) in open {
        tell(&mut report.damage, *id, "a head was noted of it, and it is not there");
    }
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'";
    if job.row(sql, [], |row| row.get::<_, u64>(0))?.unwrap_or(0) != last {
        tell(&mut report.damage, last, "it is the last, and there were later ones");
    }
    (report.last, report.head) = (last, hex(&before));
    Ok(report)
}

/// Does what an entry says name the person `?1`? The number at the end of a word: person:1 is not in person:12.
const MENTIONS: &str = "(' ' || detail || ' ') GLOB '*[^0-9a-z:]' || ?1 || '[^0-9]*'";

/// How many entries name a person.
pub(crate) fn mentions(job: &Job<'_>, person: &str) -> Result<usize, StoreError> {
    let sql = format!("SELECT count(*) FROM audit WHERE actor = ?1 OR subject = ?1 OR {MENTIONS}");
    Ok(job.row(&sql, [person], |row| row.get(0))?.unwrap_or_default())
}

/// Replaces a person in the entries there are by `pseudonym`, and forgets from where they signed in; returns in how many.
pub(crate) fn erase(job: &Job<'_>, person: &str, pseudonym: &str) -> Result<usize, StoreError> {
    let sql = format!(
        "UPDATE audit SET salt = NULL, \
         actor = CASE WHEN actor = ?1 THEN ?2 ELSE actor END, \
         subject = CASE WHEN subject = ?1 THEN ?2 ELSE subject END, \
         detail = CASE WHEN subject = ?1 AND action = 'session.began' THEN '' \
         WHEN {MENTIONS} THEN rtrim(replace(detail || ' ', ?1 || ' ', ?2 || ' ')) ELSE detail END \
         WHERE actor = ?1 OR subject = ?1 OR {MENTIONS}"
    );
    job.execute(&sql, params![person, pseudonym])
}
