//! What is held about oneself: preferences, asking for one's data, erasing it, and the GDPR token.
//!
//! # Invariants
//! * The token stands in the answer to the form that made it, and on no page that can be opened again.

use askama::Template;
use forebay_control::{Erasure, Preferences, PreferencesChange};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    page::confirm::{self, Act, PASSWORD},
    refusal::Refusal,
    visit::Visit,
    when,
};

const DATA: &str = "/console/me/data";
/// As long as a GDPR token may live.
const GDPR_DAYS_MAX: u32 = 365;

#[derive(Template)]
#[template(path = "preferences.html")]
struct PreferencesPage {
    frame: Frame,
    preferences: Preferences,
    notice_email: String,
    /// Whether this server sends mail at all.
    sends_mail: bool,
}

/// What one set for oneself.
pub(crate) fn preferences(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let preferences = visit.acting()?.preferences(visit.who_id())?;
    let page = PreferencesPage {
        frame: visit.frame("Preferences", Place::Me("preferences")),
        sends_mail: visit.control().channels()?.mail,
        notice_email: preferences.notice_email.clone().unwrap_or_default(),
        preferences,
    };
    Ok(visit.page(&page))
}

/// Takes it. In force at once.
pub(crate) fn save_preferences(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let change = PreferencesChange {
        notice_email: Some(visit.form.given("notice_email").map(str::to_owned)),
        tells_sign_ins: Some(visit.form.is_on("tells_sign_ins")),
        remembers_views: Some(visit.form.is_on("remembers_views")),
        logs_usage: Some(visit.form.is_on("logs_usage")),
    };
    match visit.acting()?.change_preferences(visit.who_id(), &change) {
        Ok(_) => Ok(visit.done("/console/me/preferences", "saved")),
        Err(error) => visit.again(error.into(), preferences),
    }
}

/// Sends another code to the address for notices.
pub(crate) fn send_notice_code(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match visit.acting()?.send_notice_code(visit.who_id()) {
        Ok(()) => Ok(visit.done("/console/me/preferences", "code-sent")),
        Err(error) => visit.again(error.into(), preferences),
    }
}

/// Takes the code that was sent to the address for notices.
pub(crate) fn confirm_notice_email(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match visit.acting()?.confirm_notice_email(visit.who_id(), visit.form.text("code")) {
        Ok(()) => Ok(visit.done("/console/me/preferences", "notice-confirmed")),
        Err(error) => visit.again(error.into(), preferences),
    }
}

#[derive(Template)]
#[template(path = "data.html")]
struct DataPage {
    frame: Frame,
    gdpr: Option<Gdpr>,
    days_max: u32,
}

struct Gdpr {
    since: Moment,
    ends: Moment,
    used: Option<Moment>,
    uses: String,
}

/// The page of data and privacy.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let gdpr = visit.acting()?.gdpr_token(visit.who_id())?;
    let page = DataPage {
        frame: visit.frame("Data & privacy", Place::Me("data")),
        gdpr: gdpr.map(|token| Gdpr {
            since: Moment(token.created_at_ms),
            ends: Moment(token.expires_at_ms),
            used: token.last_used_ms.map(Moment),
            uses: when::of(token.uses, "request"),
        }),
        days_max: GDPR_DAYS_MAX,
    };
    Ok(visit.page(&page))
}

#[derive(Template)]
#[template(path = "data_request.html")]
struct RequestPage {
    frame: Frame,
    counts: Vec<(&'static str, String)>,
}

/// Says that the request was received, what there is, and where the file is: at once.
pub(crate) fn request(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let data = visit.acting()?.personal_data(visit.who_id())?;
    let count = |n: usize| when::count(n as u64);
    let page = RequestPage {
        frame: visit.frame("Your data is ready", Place::Me("data")),
        counts: vec![
            ("Sessions", count(data.sessions.len())),
            ("Attempts to sign in", count(data.sign_ins.len())),
            ("Pages opened, while you had that noted", count(data.usage.len())),
            ("Settings of views", count(data.views.len())),
            ("Messages to you", count(data.messages.len())),
            ("Entries of the audit log", count(data.audit.len())),
        ],
    };
    Ok(visit.page(&page))
}

/// The file.
pub(crate) fn download(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let data = visit.acting()?.personal_data(visit.who_id())?;
    let text = serde_json::to_vec_pretty(&data).map_err(|error| Refusal::Failed(error.to_string()))?;
    Ok(Answer::download("application/json", "my-data.json", text))
}

/// Asks whether it is to be erased.
pub(crate) fn erase_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = erase_act(visit)?;
    Ok(confirm::page(visit, Place::Me("data"), act))
}

#[derive(Template)]
#[template(path = "data_erased.html")]
struct ErasedPage {
    frame: Frame,
    done: Vec<String>,
}

/// Erases it: done when the message appears.
pub(crate) fn erase(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let erased = erase_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        Ok(acting.erase_personal_data(visit.who_id(), &proof)?)
    });
    match erased {
        Ok(erasure) => Ok(visit.page(&ErasedPage {
            frame: visit.frame("Your data was erased", Place::Me("data")),
            done: lines(&erasure),
        })),
        Err(refusal) => visit.again(refusal, erase_page),
    }
}

/// What is, or was, erased.
fn lines(erasure: &Erasure) -> Vec<String> {
    let of = |n: usize, thing: &str| when::of(n as u64, thing);
    vec![
        format!("{} to sign in: deleted.", of(erasure.sign_ins, "attempt")),
        format!(
            "{} and {}: deleted.",
            of(erasure.usage, "noted page"),
            of(erasure.views, "setting of a view")
        ),
        format!("The list of {}: deleted.", of(erasure.messages, "message to you")),
        format!(
            "{}: from where and with what they began is forgotten; they go on.",
            of(erasure.sessions, "session")
        ),
        format!(
            "{} of the audit log with who did it: a pseudonym takes your place; what was done stays.",
            of(erasure.audit + erasure.made, "place")
        ),
    ]
}

fn erase_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let erasable = visit.acting()?.erasable_data(visit.who_id())?;
    Ok(Act {
        title: "Erase personal data".to_owned(),
        affected: vec!["Only you.".to_owned()],
        happens: {
            let mut happens = lines(&erasable);
            happens.push(
                "Your account, its address and name, and your roles stay: it remains in operation."
                    .to_owned(),
            );
            happens
        },
        undo: "No.".to_owned(),
        word: visit.who()?.person.email.clone(),
        word_is: "your e-mail address",
        button: "Erase data",
        action: format!("{DATA}/erase"),
        back: DATA.to_owned(),
        asks_password: true,
        ..Act::default()
    })
}

#[derive(Template)]
#[template(path = "gdpr_token.html")]
struct GdprPage {
    frame: Frame,
    token: String,
    ends: Moment,
}

/// Asks whether the GDPR token is to be reset.
pub(crate) fn gdpr_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = gdpr_act(visit)?;
    Ok(confirm::page(visit, Place::Me("data"), act))
}

/// Makes one, and shows it, this once; the one before ends.
pub(crate) fn reset_gdpr(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let made = gdpr_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        let days = visit.form.text("days").parse().unwrap_or(GDPR_DAYS_MAX);
        Ok(acting.reset_gdpr_token(visit.who_id(), days, &proof)?)
    });
    match made {
        Ok(token) => Ok(visit.page(&GdprPage {
            frame: visit.frame("Your GDPR token", Place::Me("data")),
            ends: Moment(token.expires_at_ms),
            token: token.token,
        })),
        Err(refusal) => visit.again(refusal, gdpr_page),
    }
}

fn gdpr_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let present = visit.acting()?.gdpr_token(visit.who_id())?;
    let affected = match present {
        Some(token) => vec![format!(
            "Whatever uses the present token: {}.",
            when::used(token.uses, "request", token.last_used_ms)
        )],
        None => vec!["Nobody: you have no token yet.".to_owned()],
    };
    let days = |days: u32| (days.to_string(), format!("{days} days"));
    Ok(Act {
        title: "Reset GDPR API token".to_owned(),
        affected,
        happens: vec![
            "The value changes, and every application that uses the present one stops working at once.".to_owned(),
            "The token is yours alone, and ends with your role: it is for retrieving and erasing end users' data in \
             projects that you are an owner or admin of."
                .to_owned(),
        ],
        undo: "No. The old value does not come back.".to_owned(),
        word: visit.who()?.person.email.clone(),
        word_is: "your e-mail address",
        button: "Reset",
        action: format!("{DATA}/gdpr"),
        back: DATA.to_owned(),
        choices: vec![confirm::Choice {
            name: "days".to_owned(),
            label: "It ends after".to_owned(),
            hint: String::new(),
            options: vec![days(GDPR_DAYS_MAX), days(90), days(30), days(7)],
        }],
        asks_password: true,
        ..Act::default()
    })
}

/// Ends it, without another.
pub(crate) fn end_gdpr(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match visit.acting()?.end_gdpr_token(visit.who_id()) {
        Ok(()) => Ok(visit.done(DATA, "gdpr-ended")),
        Err(error) => visit.again(error.into(), page),
    }
}
