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
    /// Send a code that is none to a phone, by the gateway of the settings given, and say what it says to it
    TestText {
        /// Where to, with the plus and the country's digits
        #[arg(value_name = "NUMBER")]
        number: String,
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
            Mail::TestText { number } => test_text(common, &number),
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
    let sending = mailer.send(address, "A test of Forebay's mail", text);
    tell(common, "mail", &config.mail.host, address, sending)
}

fn test_text(common: &Common, number: &str) -> Done {
    let config = common.config(Vec::new())?;
    let gateway = messages::gateway(&config)?.ok_or_else(|| {
        Failure::Usage(
            "no text messages are sent: second_factor.gateway.url is not set (`forebay settings`)".to_owned(),
        )
    })?;
    tell(common, "message", "the gateway", number, gateway.send(number, "000000"))
}

fn tell(common: &Common, what: &str, by: &str, recipient: &str, sending: Sending) -> Done {
    let mut out = common.out();
    match sending {
        Sending::Sent => {
            if out.json {
                out.value(&serde_json::json!({ "sent_to": recipient, "by": by }))?;
            } else {
                out.line(&format!("{by} took the {what} to {recipient}"))?;
            }
            out.done()
        }
        Sending::Later(why) | Sending::Refused(why) => {
            Err(Failure::Failed(format!("{by} did not take the {what} to {recipient}: {why}")))
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
