//! The one way every dangerous act is asked for: who is affected, what happens, whether it can be undone, and the name to
//! be typed.

use askama::Template;

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    refusal::Refusal,
    visit::Visit,
};

/// The field that the name is typed into.
const TYPED: &str = "typed";
/// The field of the password, where it is asked for.
pub(crate) const PASSWORD: &str = "current";

/// A choice that belongs to the act.
pub(crate) struct Choice {
    /// The field.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) hint: String,
    /// Values and what they read as; the first is chosen.
    pub(crate) options: Vec<(String, String)>,
}

/// A dangerous act, described.
#[derive(Default)]
pub(crate) struct Act {
    /// The question, as the page's title.
    pub(crate) title: String,
    /// Who or what is affected.
    pub(crate) affected: Vec<String>,
    /// What happens.
    pub(crate) happens: Vec<String>,
    /// Whether it can be undone, and until when.
    pub(crate) undo: String,
    /// What is to be typed.
    pub(crate) word: String,
    /// What that is: "the project's name".
    pub(crate) word_is: &'static str,
    /// What the button says.
    pub(crate) button: &'static str,
    /// Where the form goes.
    pub(crate) action: String,
    /// Where one goes who thinks better of it.
    pub(crate) back: String,
    /// Fields that go along.
    pub(crate) hidden: Vec<(String, String)>,
    pub(crate) choices: Vec<Choice>,
    /// Whether the password is asked for once more.
    pub(crate) asks_password: bool,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    frame: Frame,
    act: Act,
}

/// Asks.
pub(crate) fn page(visit: &Visit<'_>, place: Place, act: Act) -> Answer {
    visit.page(&ConfirmPage { frame: visit.frame(&act.title, place), act })
}

/// Demands that the name was typed.
pub(crate) fn check(visit: &Visit<'_>, act: &Act) -> Result<(), Refusal> {
    if visit.form.text(TYPED) == act.word {
        return Ok(());
    }
    let Act { word_is, word, .. } = act;
    Err(Refusal::Invalid(format!("nothing was changed: type {word_is}, {word}, to go on")))
}
