//! `forebay gdpr-token`: what people show to the interface that retrieves and erases end users' data.

use super::{Common, Done, out, proof};
use clap::Subcommand;
use serde_json::json;

/// Show, make and end people's tokens for retrieving and erasing end users' data: calls that are still to come
#[derive(Debug, Subcommand)]
pub(crate) enum GdprToken {
    /// Show whether a person has one, and how it was used
    Show {
        /// Their e-mail address
        email: String,
    },
    /// Give a person another one, which is shown this once; the one before ends at once
    Reset {
        /// Their e-mail address
        email: String,
        /// For so many days
        #[arg(long, value_name = "DAYS", default_value_t = 365)]
        days: u32,
    },
    /// End a person's
    End {
        /// Their e-mail address
        email: String,
    },
}

impl GdprToken {
    pub(crate) fn run(self, common: &Common) -> Done {
        let mut out = common.out();
        let control = common.existing_control()?;
        let host = control.host();
        match self {
            GdprToken::Show { email } => {
                let shown = host.gdpr_token(host.person_of_email(&email)?.id)?;
                match (shown, out.json) {
                    (shown, true) => out.value(&shown)?,
                    (None, false) => out.line(&format!("{email} has none"))?,
                    (Some(token), false) => {
                        out.line(&format!("made    {} UTC", out::time(token.created_at_ms)))?;
                        out.line(&format!("ends    {} UTC", out::time(token.expires_at_ms)))?;
                        let last = token.last_used_ms.map_or_else(|| "never".to_owned(), out::time);
                        out.line(&format!("used    {} times, last {last}", token.uses))?;
                    }
                }
            }
            GdprToken::Reset { email, days } => {
                let person = host.person_of_email(&email)?.id;
                let made = host.reset_gdpr_token(person, days, &proof(&host)?)?;
                if out.json {
                    out.value(&made)?;
                } else {
                    out.line(&format!("token   {}   (shown this once; it erases data)", made.token))?;
                    out.line(&format!("ends    {} UTC", out::time(made.expires_at_ms)))?;
                }
            }
            GdprToken::End { email } => {
                let person = host.person_of_email(&email)?.id;
                host.end_gdpr_token(person)?;
                if out.json {
                    out.value(&json!({ "id": person, "gdpr_token": false }))?;
                } else {
                    out.line(&format!("{email} has none"))?;
                }
            }
        }
        out.done()
    }
}
