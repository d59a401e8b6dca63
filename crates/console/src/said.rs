//! What was done, told on the page that follows: by a word in the address, so that no address can put words of its own
//! into a page.

/// What a word stands for.
pub(crate) fn text(word: &str) -> Option<&'static str> {
    SAID.iter().find(|(known, _)| *known == word).map(|(_, text)| *text)
}

const SAID: &[(&str, &str)] = &[
    ("signed-out", "You are signed out."),
    ("welcome", "Welcome. Your server is set up."),
    ("joined", "You joined the organisation."),
    (
        "project-deleted",
        "The project was deleted. For thirty days it can be had back, on the page of its organisation.",
    ),
    (
        "project-transferred",
        "The project was transferred. Roles given in it and service accounts stayed behind.",
    ),
    ("token-retires", "The token sends until the time you gave. It stays the project's."),
    ("token-stays", "The token's retirement was taken back. It goes on sending."),
    ("account-narrowed", "What the service account may do was changed, at once."),
    ("project-back", "The project is back."),
    ("saved", "Saved."),
    ("code-sent", "A code is on its way."),
    ("notice-confirmed", "The address is confirmed. Notices go there from now on."),
    ("token-added", "The token was added. Events sent under it belong to this project now."),
    ("token-removed", "The token was removed. Events sent under it no longer belong to this project."),
    ("claimed", "The token was claimed. Events kept under it read as the project's from now on."),
    ("role-changed", "The role was changed."),
    ("member-removed", "The person was removed."),
    ("invitation-revoked", "The invitation was taken back."),
    ("account-shared", "The service account may use this project, too, at once."),
    (
        "account-removed-reaches",
        "The service account lost its role in this project. Its role in the organisation still reaches the project.",
    ),
    ("account-removed", "The service account uses this project no longer. It stopped working here at once."),
    ("account-deleted", "The service account was deleted. It stopped working at once."),
    ("organisation-deleted", "The organisation was deleted."),
    ("organisation-created", "The organisation was created."),
    ("password-changed", "Your password was changed, and all other sessions were ended."),
    ("second-factor-off", "The second factor was switched off."),
    ("sessions-ended", "All other sessions were ended."),
    ("data-erased", "The data about you was erased. Your account stays in operation."),
    ("account-gone", "Your account was deleted."),
    ("left", "You left the organisation."),
    ("token-retired", "The former key and secret ended."),
    ("gdpr-ended", "Your GDPR token was ended."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_known_say_anything() {
        assert_eq!(text("saved"), Some("Saved."));
        assert_eq!(text("<script>"), None);
        assert_eq!(text(""), None);
        for (at, (word, text)) in SAID.iter().enumerate() {
            assert!(text.ends_with('.'), "{text}");
            assert!(SAID[..at].iter().all(|(other, _)| other != word), "{word} twice");
        }
    }
}
