//! Messages to people: what was sent, what waits, and what was not sent and why.

use askama::Template;

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    refusal::Refusal,
    visit::Visit,
};

const SHOWN: usize = 200;

struct Row {
    since: Moment,
    channel: &'static str,
    about: String,
    recipient: String,
    state: &'static str,
    failed: bool,
    next: Option<Moment>,
    error: String,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    frame: Frame,
    sends_mail: bool,
    rows: Vec<Row>,
}

/// The last ones. What they say is not kept.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    // The route is for those who look after the server.
    let messages = visit.control().host().messages(None, SHOWN)?;
    let rows = messages.into_iter().map(|message| Row {
        since: Moment(message.created_at_ms),
        channel: message.channel.as_str(),
        state: message.state.as_str(),
        failed: message.state == forebay_control::MessageState::Failed,
        next: message.next_at_ms.map(Moment),
        about: message.about,
        recipient: message.recipient,
        error: message.error.unwrap_or_default(),
    });
    let page = MessagesPage {
        frame: visit.frame("Messages to people", Place::Messages),
        sends_mail: visit.control().channels()?.mail,
        rows: rows.collect(),
    };
    Ok(visit.page(&page))
}
