//! The pages. Each module renders what its route shows and takes what its forms send; what is allowed and what is valid
//! is the store's to say.

pub(crate) mod account_uses;
pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod confirm;
pub(crate) mod data;
pub(crate) mod entry;
pub(crate) mod export;
pub(crate) mod joining;
pub(crate) mod keys;
pub(crate) mod me;
pub(crate) mod members;
pub(crate) mod messages;
pub(crate) mod organisations;
pub(crate) mod overview;
pub(crate) mod paging;
pub(crate) mod people;
pub(crate) mod projects;
pub(crate) mod retire;
pub(crate) mod second_factor;
pub(crate) mod settings;
pub(crate) mod snippets;
pub(crate) mod transfer;
pub(crate) mod unclaimed;

use askama::Template;

use crate::{answer::Answer, frame::Frame, frame::Place, refusal::Refusal, route::Verb, visit::Visit};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    status: u16,
    text: String,
    way: Option<(String, &'static str)>,
}

/// Why a page is not shown, in the look of one. Whoever is not signed in and only wants to see one is led to sign in.
pub(crate) fn refused(visit: &Visit<'_>, refusal: &Refusal) -> Answer {
    if matches!(refusal, Refusal::Unknown) && visit.route.verb == Verb::Get {
        let next = crate::visit::encoded(visit.path);
        return Answer::see_other(&format!("/console/sign-in?next={next}"));
    }
    let way = match refusal {
        Refusal::SecondFactor => Some(("/console/me/second-factor".to_owned(), "Set up a second factor")),
        _ => None,
    };
    let page = ErrorPage {
        frame: visit.frame(refusal.title(), Place::Outside),
        status: refusal.status().as_u16(),
        text: refusal.text(),
        way,
    };
    Answer::page(refusal.status(), &page)
}
