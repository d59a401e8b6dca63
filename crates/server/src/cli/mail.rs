//! `forebay mail`: is mail sent, and what became of what was to be?

use super::{Common, Done, Failure, out};
use crate::messages;
use clap::{Subcommand, ValueEnum};
use forebay_control::{MessageInfo, MessageState, Sending};

#[derive(Debug, Subcommand)]
pub(crate) enum Mail {
    /// Send a mail with the settings given, and say what the mail server says to it
    Test {
        /// Where to
        #[arg(value_name = "EMAIL")]
        address: String,
    },
    /// What was sent to people, what waits, and what was not sent and why; never what it says
    List {
        /// Only those in this state
        #[arg(long, value_enum, value_name = "STATE")]
        state: Option<State>,
        /// At most so many, the newest first
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// They wait for their next try
    Waiting,
    /// They were sent
    Sent,
    /// They were given up
    Failed,
}

impl Mail {
    pub(crate) fn run(self, common: &Common) -> Done {
        match self {
            Mail::Test { address } => test(common, &address),
            Mail::List { state, limit } => list(common, state, limit),
        }
    }
}

fn test(common: &Common, address: &str) -> Done {
    let config = common.config(Vec::new())?;
    let mailer = messages::mailer(&config)?.ok_or_else(|| {
        Failure::Usage("no mail is sent: mail.host is not set (`forebay settings`)".to_owned())
    })?;
    let text = "This mail was asked for by `forebay mail test`. That it arrived is all it has to say.\n";
    let mut out = common.out();
    match mailer.send(address, "A test of Forebay's mail", text) {
        Sending::Sent => {
            let value = serde_json::json!({ "sent_to": address, "server": config.mail.host });
            if out.json {
                out.value(&value)?;
            } else {
                out.line(&format!("{} took the mail to {address}", config.mail.host))?;
            }
            out.done()
        }
        Sending::Later(why) | Sending::Refused(why) => {
            Err(Failure::Failed(format!("{} did not take the mail to {address}: {why}", config.mail.host)))
        }
    }
}

fn list(common: &Common, state: Option<State>, limit: usize) -> Done {
    let mut out = common.out();
    let control = common.existing_control()?;
    let state = state.map(|state| match state {
        State::Waiting => MessageState::Waiting,
        State::Sent => MessageState::Sent,
        State::Failed => MessageState::Failed,
    });
    let messages = control.host().messages(state, limit)?;
    if out.json {
        messages.iter().try_for_each(|message| out.value(message))?;
        return out.done();
    }
    let rows: Vec<_> = messages.iter().map(row).collect();
    out.table(["ID", "SINCE (UTC)", "BY", "ABOUT", "TO", "STATE", "TRIES", "WHY NOT"], &rows)?;
    out.done()
}

fn row(message: &MessageInfo) -> [String; 8] {
    [
        message.id.to_string(),
        out::time(message.created_at_ms),
        message.channel.to_string(),
        message.about.clone(),
        message.recipient.clone(),
        message.state.to_string(),
        message.tries.to_string(),
        out::clipped(message.error.as_deref().unwrap_or_default(), 80),
    ]
}
