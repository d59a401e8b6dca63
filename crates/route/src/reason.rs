//! Why an event was refused or dropped: stable names for metrics, the accounting table and the reject log.

use std::{fmt, str::FromStr};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$item])* $variant,)+ }

        impl $name {
            /// Every one there is, in order.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownReason;

            fn from_str(text: &str) -> Result<$name, UnknownReason> {
                $name::ALL.iter().copied().find(|known| known.as_str() == text)
                    .ok_or_else(|| UnknownReason(text.to_owned()))
            }
        }
    };
}

names! {
    /// Why an event, or a request that held no readable event, was refused.
    Reason {
        /// No data at all, or an empty list.
        Empty = "empty",
        /// The payload is not JSON, not base64, or nested too deeply.
        Malformed = "malformed",
        /// The compressed body does not inflate.
        BadGzip = "bad_gzip",
        /// A content encoding that is not spoken here.
        UnsupportedEncoding = "unsupported_encoding",
        /// The body is larger than the limit.
        BodyTooLarge = "body_too_large",
        /// More events in one request than the limit.
        TooManyEvents = "too_many_events",
        /// One event is larger than the limit.
        EventTooLarge = "event_too_large",
        /// The record is not an object.
        NotAnObject = "not_an_object",
        /// No event name, or one that is not a non-empty string.
        EventMissing = "event_missing",
        /// No properties, or properties that are not an object.
        PropertiesMissing = "properties_missing",
        /// No token, or one that is not a non-empty string.
        TokenMissing = "token_missing",
        /// No distinct_id.
        DistinctIdMissing = "distinct_id_missing",
        /// A distinct_id of the kind that means nobody.
        DistinctIdInvalid = "distinct_id_invalid",
        /// A group update without a group key.
        GroupKeyMissing = "group_key_missing",
        /// A group update without a group id.
        GroupIdMissing = "group_id_missing",
        /// A profile or group update with no operation in it.
        OperationMissing = "operation_missing",
        /// A profile or group operation of the wrong type.
        OperationInvalid = "operation_invalid",
        /// `$merge` outside `/import`.
        MergeNotAllowed = "merge_not_allowed",
        /// No time, where one is demanded.
        TimeMissing = "time_missing",
        /// A time that is no number, before 1971, or in the future.
        TimeInvalid = "time_invalid",
        /// No `$insert_id`, where one is demanded.
        InsertIdMissing = "insert_id_missing",
        /// An `$insert_id` with wrong characters, too long, or of the kind that means nothing.
        InsertIdInvalid = "insert_id_invalid",
        /// Text that is not UTF-8, where that is demanded.
        InvalidUtf8 = "invalid_utf8",
        /// Too many properties, or nested too widely or deeply.
        PropertiesTooMany = "properties_too_many",
        /// An identity event in a project that resolves identities the simplified way.
        IdentityEvent = "identity_event",
        /// A token that belongs to no project, where those are refused.
        UnknownToken = "unknown_token",
        /// The project does not accept events.
        ProjectDisabled = "project_disabled",
        /// The project does not take events from pages of that origin.
        OriginNotAllowed = "origin_not_allowed",
        /// No credential, or one that does not fit.
        Unauthorized = "unauthorized",
        /// Too much in flight: 503, to be sent again.
        Overloaded = "overloaded",
        /// The log could not store it: 503, to be sent again.
        StoreFailed = "store_failed",
        /// The sender went away or was cut off before the request was complete.
        Interrupted = "interrupted",
        /// Refused for a reason that has no name of its own.
        Other = "other",
    }
}

names! {
    /// The rule by which an event was taken and dropped on purpose.
    Rule {
        /// The sender marked it `$ignore`.
        Ignored = "ignored",
    }
}

/// A name that is no [`Reason`] or [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReason(pub String);

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is the name of no reason or rule", self.0)
    }
}

impl std::error::Error for UnknownReason {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn every_name_is_read_back_as_what_it_names() {
        let kinds = Reason::ALL.iter().map(|&reason| Kind::Rejected(reason));
        let kinds = kinds.chain(Rule::ALL.iter().map(|&rule| Kind::Dropped(rule)));
        for kind in kinds.chain([Kind::Received, Kind::Stored, Kind::Unaccounted]) {
            assert_eq!(Kind::parse(kind.as_str(), kind.reason()), Ok(kind));
        }
        for (kind, reason) in [("rejected", "ignored"), ("dropped", "empty"), ("rejected", ""), ("", "")] {
            assert!(Kind::parse(kind, reason).is_err(), "{kind} {reason}");
        }
    }

    #[test]
    fn a_counter_is_indexed_by_the_place_in_the_list() {
        for (at, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
    }
}
