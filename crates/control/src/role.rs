//! What people and service accounts may do: roles in an organisation and in a project, the stronger one the greater.

use std::fmt;

/// A role in an organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrganisationRole {
    /// Nothing by itself: projects are given one by one.
    #[default]
    Member,
    /// Creates projects, manages people and service accounts; an admin of every project.
    Admin,
    /// Everything; an owner of every project. There is always one.
    Owner,
}

/// A role in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProjectRole {
    /// Sees the project.
    Consumer,
    /// Reads its events, too.
    Analyst,
    /// Changes its settings, sees its access keys, manages its members and service accounts.
    Admin,
    /// Resets its key and secret, transfers and deletes it.
    Owner,
}

impl OrganisationRole {
    /// All, the weakest first.
    pub const ALL: [OrganisationRole; 3] =
        [OrganisationRole::Member, OrganisationRole::Admin, OrganisationRole::Owner];

    /// How it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OrganisationRole::Member => "member",
            OrganisationRole::Admin => "admin",
            OrganisationRole::Owner => "owner",
        }
    }

    /// What it makes one in every project of the organisation.
    #[must_use]
    pub fn implies(self) -> Option<ProjectRole> {
        match self {
            OrganisationRole::Member => None,
            OrganisationRole::Admin => Some(ProjectRole::Admin),
            OrganisationRole::Owner => Some(ProjectRole::Owner),
        }
    }
}

impl ProjectRole {
    /// All, the weakest first.
    pub const ALL: [ProjectRole; 4] =
        [ProjectRole::Consumer, ProjectRole::Analyst, ProjectRole::Admin, ProjectRole::Owner];

    /// How it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProjectRole::Consumer => "consumer",
            ProjectRole::Analyst => "analyst",
            ProjectRole::Admin => "admin",
            ProjectRole::Owner => "owner",
        }
    }
}

/// A word that is no role, or no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRole {
    pub(crate) word: String,
    /// What it should have been.
    pub(crate) what: &'static str,
    /// Those there are.
    pub(crate) roles: Vec<&'static str>,
}

impl fmt::Display for NoRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no {}; there are {}", self.word, self.what, self.roles.join(", "))
    }
}

impl std::error::Error for NoRole {}

macro_rules! written_as_words {
    ($what:literal: $($role:ty),+) => {
        $(impl std::str::FromStr for $role {
            type Err = $crate::NoRole;

            fn from_str(word: &str) -> Result<$role, $crate::NoRole> {
                let found = <$role>::ALL.into_iter().find(|role| role.as_str() == word);
                found.ok_or_else(|| $crate::NoRole {
                    word: word.to_owned(),
                    what: $what,
                    roles: <$role>::ALL.map(<$role>::as_str).to_vec(),
                })
            }
        }

        impl std::fmt::Display for $role {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $role {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$role, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $role {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($role).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": <$role>::ALL.map(<$role>::as_str) })
            }
        }

        impl serde::Serialize for $role {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        })+
    };
}

pub(crate) use written_as_words;

written_as_words!("role": OrganisationRole, ProjectRole);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stronger_roles_are_greater_and_written_as_they_are_read() {
        assert!(OrganisationRole::ALL.is_sorted() && ProjectRole::ALL.is_sorted());
        for role in OrganisationRole::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        for role in ProjectRole::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!(OrganisationRole::Member.implies(), None);
        assert_eq!(OrganisationRole::Admin.implies(), Some(ProjectRole::Admin));
        assert_eq!(OrganisationRole::Owner.implies(), Some(ProjectRole::Owner));
    }

    #[test]
    fn a_word_that_is_no_role_is_told_those_there_are() {
        let error = "boss".parse::<OrganisationRole>().unwrap_err();
        assert_eq!(error.to_string(), "\"boss\" is no role; there are member, admin, owner");
        let error = "Owner".parse::<ProjectRole>().unwrap_err();
        assert_eq!(error.to_string(), "\"Owner\" is no role; there are consumer, analyst, admin, owner");
    }
}
