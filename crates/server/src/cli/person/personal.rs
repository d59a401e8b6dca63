//! What people set for themselves, and the data held about them.

use super::super::{Common, Done, Failure, proof};
use clap::ValueEnum;
use forebay_control::{Erasure, Losses, Outcome, Preferences as Shown, PreferencesChange};

#[derive(Debug, clap::Args)]
pub(crate) struct Preferences {
    /// Their e-mail address
    email: String,
    /// Where notices go besides that
    #[arg(long, value_name = "EMAIL", conflicts_with = "no_notice_email")]
    notice_email: Option<String>,
    /// Notices go nowhere else
    #[arg(long)]
    no_notice_email: bool,
    /// Notices go there from now on, without the code that was sent there
    #[arg(long, conflicts_with = "no_notice_email")]
    confirm_notice_email: bool,
    /// Whether they are told of sign-ins from a new place
    #[arg(long, value_enum, value_name = "on|off")]
    tell_sign_ins: Option<Switch>,
    /// Whether the console remembers how they set its views; off forgets what it did
    #[arg(long, value_enum, value_name = "on|off")]
    remember_views: Option<Switch>,
    /// Whether the console notes which pages they open; off forgets what it did
    #[arg(long, value_enum, value_name = "on|off")]
    log_usage: Option<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

impl Preferences {
    pub(super) fn run(self, common: &Common) -> Done {
        let mut out = common.out();
        let control = common.existing_control()?;
        let host = control.host();
        let person = host.person_of_email(&self.email)?.id;
        let change = PreferencesChange {
            notice_email: match self.notice_email {
                None => self.no_notice_email.then_some(None),
                given => Some(given),
            },
            tells_sign_ins: self.tell_sign_ins.map(|switch| switch == Switch::On),
            remembers_views: self.remember_views.map(|switch| switch == Switch::On),
            logs_usage: self.log_usage.map(|switch| switch == Switch::On),
        };
        let mut shown = host.change_preferences(person, &change)?;
        if self.confirm_notice_email && !shown.notice_email_confirmed {
            host.confirm_notice_email(person, "")?;
            shown = host.preferences(person)?;
        }
        if out.json {
            out.value(&shown)?;
        } else {
            let Shown { notice_email, notice_email_confirmed, tells_sign_ins, remembers_views, logs_usage } =
                shown;
            let word = |on: bool| if on { "on" } else { "off" };
            out.line(&match notice_email {
                None => "notices         to their address alone".to_owned(),
                Some(other) if notice_email_confirmed => {
                    format!("notices         to their address and {other}")
                }
                Some(other) => format!("notices         to their address; {other} waits to be confirmed"),
            })?;
            out.line(&format!("tell sign-ins   {}", word(tells_sign_ins)))?;
            out.line(&format!("remember views  {}", word(remembers_views)))?;
            out.line(&format!("log usage       {}", word(logs_usage)))?;
        }
        out.done()
    }
}

/// Lists where a person is signed in.
pub(super) fn sessions(common: &Common, email: &str) -> Done {
    let mut out = common.out();
    let control = common.existing_control()?;
    let host = control.host();
    let sessions = host.sessions(host.person_of_email(email)?.id)?;
    if out.json {
        sessions.iter().try_for_each(|session| out.value(session))?;
        return out.done();
    }
    let time = super::super::out::time;
    let rows: Vec<_> = sessions
        .into_iter()
        .map(|session| {
            [time(session.created_at_ms), time(session.last_seen_ms), session.address, session.user_agent]
        })
        .collect();
    out.table(["SINCE (UTC)", "SEEN (UTC)", "FROM", "WITH"], &rows)?;
    out.done()
}

/// Prints everything held about a person: always as JSON.
pub(super) fn data(common: &Common, email: &str) -> Done {
    let mut out = common.out();
    let control = common.existing_control()?;
    let host = control.host();
    let data = host.personal_data(host.person_of_email(email)?.id)?;
    if out.json {
        out.value(&data)?;
    } else {
        let text = serde_json::to_string_pretty(&data).map_err(|e| Failure::of(&e))?;
        out.line(&text)?;
    }
    out.done()
}

pub(super) fn erase(common: &Common, email: &str, dry_run: bool) -> Done {
    let mut out = common.out();
    let control = common.existing_control()?;
    let host = control.host();
    let person = host.person_of_email(email)?.id;
    let erasure = match dry_run {
        true => host.erasable_data(person)?,
        false => host.erase_personal_data(person, &proof(&host)?)?,
    };
    if out.json {
        out.value(&erasure)?;
        return out.done();
    }
    let Erasure { sign_ins, sessions, usage, views, messages, audit, made, pseudonym } = erasure;
    out.line(if dry_run { "would be erased:" } else { "erased:" })?;
    out.line(&format!("  {sign_ins} attempts to sign in, {usage} pages noted, {views} settings of views"))?;
    out.line(&format!("  the list of {messages} messages to them"))?;
    out.line(&format!("  where and with what {sessions} sessions began; they go on"))?;
    out.line(&format!(
        "  the person in {audit} entries of the audit and {made} other places: {pseudonym} stands there"
    ))?;
    out.line(
        "stays: the account with name and address, its roles, its second factor; that each change was made",
    )?;
    out.done()
}

pub(super) fn losses(common: &Common, email: &str) -> Done {
    let mut out = common.out();
    let control = common.existing_control()?;
    let host = control.host();
    let losses = host.losses(host.person_of_email(email)?.id)?;
    if out.json {
        out.value(&losses)?;
        return out.done();
    }
    let Losses { organisations, projects, sessions, gdpr_token, invitations, service_accounts } = losses;
    for o in &organisations {
        let outcome = match o.outcome {
            Outcome::Stays => "goes on without them".to_owned(),
            Outcome::NeedsOwner => format!("needs another owner first: --hand-over {}=EMAIL", o.id),
            Outcome::NeedsMember => "needs another owner first: enter or invite somebody".to_owned(),
            Outcome::Goes => "goes with them: nobody and nothing else is in it".to_owned(),
        };
        out.line(&format!("organisation  {} ({}), {}: {outcome}", o.id, o.name, o.role))?;
    }
    for p in &projects {
        out.line(&format!(
            "project       {} ({}), {}: stays; {} others have access",
            p.id, p.name, p.role, p.others
        ))?;
    }
    let token = if gdpr_token { "1 GDPR token" } else { "no GDPR token" };
    out.line(&format!("ends          {sessions} sessions, {token}, {invitations} invitations given"))?;
    out.line(&format!(
        "lives on      {} service accounts {}",
        service_accounts.len(),
        service_accounts.join(" ")
    ))?;
    out.done()
}
