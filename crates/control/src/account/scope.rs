//! What a service account may be narrowed to: a key for one job, whatever its roles would let it do besides.

use crate::role::written_as_words;

/// One thing that a narrowed service account still does, as far as its roles reach for it.
///
/// ```
/// use forebay_control::Scope;
///
/// // An account that is narrowed to these alone signs in, and does nothing.
/// let to_come: Vec<_> = Scope::ALL.into_iter().filter(|scope| scope.is_to_come()).collect();
/// assert_eq!(to_come, [Scope::EngageRead, Scope::Gdpr]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reads events: the raw export.
    Export,
    /// Reads profiles: to come.
    EngageRead,
    /// Imports events, and replaces lookup tables.
    Import,
    /// Retrieves and erases end users' data: to come.
    Gdpr,
}

impl Scope {
    /// All.
    pub const ALL: [Scope; 4] = [Scope::Export, Scope::EngageRead, Scope::Import, Scope::Gdpr];

    /// How it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Export => "export",
            Scope::EngageRead => "engage-read",
            Scope::Import => "import",
            Scope::Gdpr => "gdpr",
        }
    }

    /// Whether what it names is not there yet: whoever shows it says so.
    #[must_use]
    pub fn is_to_come(self) -> bool {
        matches!(self, Scope::EngageRead | Scope::Gdpr)
    }

    /// How people read it: the word, and whether it does nothing yet.
    #[must_use]
    pub fn for_people(self) -> String {
        format!("{self}{}", if self.is_to_come() { " (nothing yet)" } else { "" })
    }
}

written_as_words!("scope": Scope);

/// Scopes as the store has them, each once and in order.
pub(super) fn joined(scopes: &[Scope]) -> String {
    let scopes: std::collections::BTreeSet<_> = scopes.iter().copied().collect();
    scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>().join(",")
}

/// Scopes as the store has them, read back.
pub(crate) fn parted(words: &str) -> Result<Vec<Scope>, crate::NoRole> {
    words.split(',').map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_kept_once_each_and_read_back() {
        assert_eq!(joined(&[Scope::Import, Scope::Export, Scope::Import]), "export,import");
        assert_eq!(parted("export,import"), Ok(vec![Scope::Export, Scope::Import]));
        assert_eq!(parted(&joined(&Scope::ALL)), Ok(Scope::ALL.to_vec()));
        let error = parted("export,admin").unwrap_err().to_string();
        assert_eq!(error, "\"admin\" is no scope; there are export, engage-read, import, gdpr");
    }
}
