//! The address for notices: asked for with the preferences, and used once a code that was sent there has come back.

use rusqlite::params;

use super::{
    code::{self, Purpose},
    key, person,
    personal::preferences,
    subject,
};
use crate::{
    Acting, Control, PeopleError, PersonId, StoreError,
    control::Job,
    organisation,
    outbox::{self, Content, Draft, Notice, tell_at},
};

impl Acting<'_> {
    /// Sends another code to a person's address for notices.
    ///
    /// # Errors
    /// [`PeopleError::CodeTooSoon`], [`PeopleError::OutreachExceeded`]; [`PeopleError::NothingToConfirm`] where there is no
    /// address, it is confirmed, or no mail is sent.
    pub fn send_notice_code(&self, id: PersonId) -> Result<(), PeopleError> {
        self.require_self(id)?;
        self.change(|job| send_code(job, id, self))
    }

    /// Notices go to a person's address for notices from now on, `code` being what was sent there. The host's word is
    /// enough: to it, any code is right.
    ///
    /// # Errors
    /// [`PeopleError::CodeWrong`], [`PeopleError::NothingToConfirm`].
    pub fn confirm_notice_email(&self, id: PersonId, code: &str) -> Result<(), PeopleError> {
        self.require_self(id)?;
        self.change(|job| {
            let preferences = preferences(job, id)?;
            let email = preferences.notice_email.filter(|_| !preferences.notice_email_confirmed);
            let email = email.ok_or(PeopleError::NothingToConfirm)?;
            let is_host = self.require_host().is_ok();
            if !is_host && !code::take(job, id, Purpose::NoticeEmail, &key(&email), code)? {
                // Kept: the guess counts.
                return Ok(Err(PeopleError::ConfirmationWrong));
            }
            let sql = "UPDATE people SET notice_email_confirmed_ms = ?2 WHERE id = ?1";
            job.execute(sql, params![id.0, job.now_ms])?;
            job.audit("person.notice_email_confirmed", &subject(id), "")?;
            Ok(Ok(()))
        })?
    }

    /// Sends the link of an invitation by mail to whom it is for, if mail is sent and it is known where the console is;
    /// says whether it is. `code` is that of the invitation, which goes by mail once.
    ///
    /// # Errors
    /// [`PeopleError::InvitationGone`].
    pub fn mail_invitation(&self, code: &str) -> Result<bool, PeopleError> {
        self.change(|job| {
            let open = super::invitation::open(job, code)?;
            // Who may invite there may have it sent.
            self.require(job, open.organisation, crate::OrganisationRole::Admin)?;
            let channels = outbox::channels(job)?;
            let (true, Some(url)) = (channels.mail, channels.console_url) else { return Ok(false) };
            let text = format!(
                "You are invited to the organisation {} on an event collector.\n\nOpen this link to take the \
                 invitation; it works once, until {}:\n{}/console/invitation?code={code}\n\nIf you do not know what this \
                 is about, there is nothing to do.\n",
                outbox::quoted(&open.organisation_name),
                crate::error::moment(open.expires_at_ms),
                url.trim_end_matches('/')
            );
            let subject = format!("An invitation to {}", outbox::quoted(&open.organisation_name));
            let content = Content::Mail { subject, text };
            let sql = "UPDATE invitations SET mailed_at_ms = ?2 WHERE id = ?1 AND mailed_at_ms IS NULL";
            if job.execute(sql, params![open.id, job.now_ms])? == 0 {
                return Ok(true);
            }
            outbox::put(
                job,
                &Draft {
                    about: "invitation",
                    recipient: &open.email,
                    person: super::of_email(job, &open.email)?,
                    content: &content,
                    expires_at_ms: Some(open.expires_at_ms),
                },
            )?;
            Ok(true)
        })
    }
}

impl Control {
    /// Tells the owners of the first organisation, who look after the server, that `about` is so: at most once a day each.
    /// `free` is the room left on the disk, in percent and bytes; `unable` why events cannot be stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tell_operators(&self, free: Option<(u64, u64)>, unable: Option<&str>) -> Result<(), StoreError> {
        self.change_as("server", |job| {
            let Some(first) = organisation::first(job)? else { return Ok(()) };
            let low = free.map(|(free_percent, free_bytes)| Notice::DiskLow { free_percent, free_bytes });
            for notice in low.into_iter().chain(unable.map(Notice::CannotStore)) {
                let sql = "SELECT 1 FROM outbox WHERE about = ?1 AND created_at_ms > ?2 LIMIT 1";
                let since = job.now_ms.saturating_sub(24 * 3_600_000);
                if job.row(sql, params![notice.about(), since], |_| Ok(()))?.is_none() {
                    outbox::tell_owners(job, first, None, &notice)?;
                }
            }
            Ok(())
        })
    }
}

/// A new address for notices: the code goes there, and the one they sign in by is told.
pub(super) fn changed(
    job: &Job<'_>,
    id: PersonId,
    new: Option<&str>,
    by: &Acting<'_>,
) -> Result<(), PeopleError> {
    if new.is_some() && outbox::channels(job)?.mail {
        match send_code(job, id, by) {
            // So many addresses in so short a time are not written to; the page offers to send it later.
            Ok(()) | Err(PeopleError::CodeTooSoon { .. } | PeopleError::OutreachExceeded { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let email = person(job, id)?.email;
    Ok(tell_at(job, &email, Some(id), &Notice::SecondAddress(new))?)
}

fn send_code(job: &Job<'_>, id: PersonId, by: &Acting<'_>) -> Result<(), PeopleError> {
    let preferences = preferences(job, id)?;
    let email = preferences.notice_email.filter(|_| !preferences.notice_email_confirmed);
    let email = email.ok_or(PeopleError::NothingToConfirm)?;
    if !outbox::channels(job)?.mail {
        return Err(PeopleError::NothingToConfirm);
    }
    // No code ends the one before without being sent, and none that is not sent is counted.
    by.check_outreach(job, None)?;
    let code = code::issue(job, id, Purpose::NoticeEmail, &key(&email))?;
    by.reach_out(job, None)?;
    let text = format!(
        "Somebody wants notices about their account on an event collector sent to this address. If that is you, enter \
         this code on the page of your preferences, within an hour:\n\n    {code}\n\nIf it is not, there is nothing to do: \
         no notice will come here.\n"
    );
    let content = Content::Mail { subject: "Confirm this address for notices".to_owned(), text };
    outbox::put(
        job,
        &Draft {
            about: "confirm-address",
            recipient: &email,
            person: Some(id),
            content: &content,
            expires_at_ms: Some(job.now_ms + Purpose::NoticeEmail.life_ms()),
        },
    )?;
    Ok(())
}
