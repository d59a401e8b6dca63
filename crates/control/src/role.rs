//! What people may do: roles in an organisation and in a project, the stronger one the greater.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A role in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrganisationRole {
    /// Nothing by itself: projects are given one by one.
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

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRole {
    word: String,
    roles: Vec<&'static str>,
}

impl fmt::Display for NoRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no role; there are {}", self.word, self.roles.join(", "))
    }
}

impl std::error::Error for NoRole {}

macro_rules! written_as_words {
    ($($role:ty),+) => {
        $(impl FromStr for $role {
            type Err = NoRole;

            fn from_str(word: &str) -> Result<$role, NoRole> {
                let found = <$role>::ALL.into_iter().find(|role| role.as_str() == word);
                found.ok_or_else(|| NoRole { word: word.to_owned(), roles: <$role>::ALL.map(<$role>::as_str).to_vec() })
            }
        }

        impl fmt::Display for $role {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $role {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$role, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl Serialize for $role {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        })+
    };
}

written_as_words!(OrganisationRole, ProjectRole);

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
