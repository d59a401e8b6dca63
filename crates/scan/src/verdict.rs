//! What the scanner says of one record.
//!
//! Reasons have stable codes: they name counters, rows of the accounting and entries of the reject log.

use crate::Dialect;
use forebay_record::{DirectoryEntry, Span};
use std::{borrow::Cow, ops::Range};

/// One record of a request, in the order sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Where it lies in [`crate::Scanned::text`], and where its fields lie in it.
    pub entry: DirectoryEntry,
    /// What is to become of it.
    pub verdict: Verdict,
    pub(crate) token: Token,
}

impl Record {
    /// Where the record lies in the text.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let start = self.entry.offset as usize;
        start..start + self.entry.len as usize
    }
}

/// Where the routing token lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// It was written with escapes: the range is one of the scanner's unescaped tokens, not of the text.
    pub(crate) unescaped: bool,
}

/// What is to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: store it.
    Keep,
    /// Valid, and marked `$ignore`: count it, answer as if stored, drop it.
    Ignored,
    /// Not valid: count it, drop it, say why.
    Invalid(Invalid),
}

/// Why a record is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The first check that failed.
    pub reason: Reason,
    /// The field it failed on.
    pub field: Field,
}

/// The field a strict check names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// None in particular.
    None,
    /// `event`
    Event,
    /// `properties`
    Properties,
    /// `properties.time`
    Time,
    /// `properties.distinct_id`
    DistinctId,
    /// `$insert_id`
    InsertId,
    /// `properties.<key>`: the key's raw bytes within the record.
    Property(Span),
}

/// Declares [`Reason`] with the code and the verbose text of each.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $code:literal $text:literal;)*) => {
        /// The first check that a record failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: [Reason; Reason::COUNT] = [$(Reason::$name),*];
            /// How many reasons there are.
            pub const COUNT: usize = [$($code),*].len();

            /// A stable name for counters and logs.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code),* }
            }

            /// What the sender is told when it asked for a verbose answer.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Reason::$name => $text),* }
            }
        }
    };
}

reasons! {
    /// `{}`
    Empty "data_missing" "data, missing or empty";
    /// A number, a string, an array … where a record should be.
    NotAnObject "not_an_object" "data, every record must be an object";
    /// One line of several that is not JSON.
    MalformedLine "malformed_json" "data, a line is not valid JSON";
    /// No `event`, or not a non-empty string.
    EventMissing "event_missing" "event, missing";
    /// No `properties`, or not an object.
    PropertiesMissing "properties_missing" "properties, missing or not an object";
    /// No `properties.token`, or not a non-empty string.
    TokenMissing "token_missing" "token, missing or empty";
    /// No `$token` on a profile update, or not a non-empty string.
    ProfileTokenMissing "token_missing" "$token, missing or empty";
    /// A token longer than [`crate::TOKEN_BYTES_MAX`].
    TokenTooLong "token_too_long" "token, longer than 65535 bytes";
    /// `$merge` is taken on `/import` only.
    MergeOutsideImport "merge_outside_import" "$merge, only accepted on /import";
    /// No `$distinct_id` on a user profile update.
    DistinctIdMissing "distinct_id_missing" "$distinct_id, missing or empty";
    /// No `$group_key` on a group profile update.
    GroupKeyMissing "group_key_missing" "$group_key, missing or empty";
    /// No `$group_id` on a group profile update.
    GroupIdMissing "group_id_missing" "$group_id, missing or empty";
    /// A profile update that says nothing to do.
    OperationMissing "operation_missing" "no operation: one of $set, $set_once, $add, $append, $union, $remove, $unset, $delete is needed";
    /// An operation whose value has the wrong type.
    OperationInvalid "operation_invalid" "an operation's value has the wrong type: $unset takes an array of names, $delete anything, the others an object";
    /// Strict: no `properties.time`.
    StrictTimeMissing "strict_time_missing" "'properties.time' is invalid: must not be missing";
    /// Strict: `time` is not a number.
    StrictTimeNotNumber "strict_time_not_a_number" "'properties.time' is invalid: must be specified as seconds since epoch";
    /// Strict: `time` is before 1971.
    StrictTimeTooOld "strict_time_too_old" "'properties.time' is invalid: must not be before 1971-01-01";
    /// Strict: `time` is more than an hour ahead.
    StrictTimeInFuture "strict_time_in_future" "'properties.time' is invalid: must not be in the future";
    /// Strict: none of `distinct_id`, `$device_id`, `$user_id`.
    StrictDistinctIdMissing "strict_distinct_id_missing" "'properties.distinct_id' is invalid: must not be missing";
    /// Strict: `distinct_id` is of another type, or one of the denied values.
    StrictDistinctIdInvalid "strict_distinct_id_invalid" "'properties.distinct_id' is invalid: must identify a user, not be a placeholder";
    /// Strict: no `$insert_id`, or not a string.
    StrictInsertIdMissing "strict_insert_id_missing" "'$insert_id' is invalid: must not be missing";
    /// Strict: `$insert_id` has more than 36 bytes.
    StrictInsertIdTooLong "strict_insert_id_too_long" "'$insert_id' is invalid: must not be longer than 36 bytes";
    /// Strict: `$insert_id` has other characters than letters, digits and hyphens.
    StrictInsertIdChars "strict_insert_id_characters" "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters";
    /// Strict: `$insert_id` is one of the denied values.
    StrictInsertIdDenied "strict_insert_id_denied" "'$insert_id' is invalid: must be unique, not a placeholder";
    /// Strict: a name or string is not UTF-8.
    StrictUtf8 "strict_utf8" "string should be valid utf8";
    /// Strict: more than 255 properties.
    StrictTooManyProperties "strict_too_many_properties" "'properties' is invalid: must not have more than 255 entries";
    /// Strict: an object property with more than 255 keys.
    StrictTooManyKeys "strict_too_many_keys" "must not have more than 255 keys";
    /// Strict: an object property nested more than three deep.
    StrictTooDeep "strict_too_deep" "must not be nested more than 3 levels deep";
    /// Strict: an array property with more than 255 elements.
    StrictArrayTooLong "strict_array_too_long" "must not have more than 255 elements";
    /// Strict: more bytes than one event may have.
    StrictEventTooLarge "strict_event_too_large" "the event is too large: must not be over 1 MB";
}

/// How many records of a request met which verdict. Their sum is every record that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// [`Verdict::Keep`]
    pub kept: u32,
    /// [`Verdict::Ignored`]
    pub ignored: u32,
    rejected: [u32; Reason::COUNT],
}

impl Default for Counts {
    fn default() -> Counts {
        Counts { kept: 0, ignored: 0, rejected: [0; Reason::COUNT] }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Keep => self.kept += 1,
            Verdict::Ignored => self.ignored += 1,
            Verdict::Invalid(invalid) => self.rejected[invalid.reason as usize] += 1,
        }
    }

    /// Records of any verdict.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.kept + self.ignored + self.invalid()
    }

    /// Kept and ignored ones: what answers success.
    #[must_use]
    pub fn valid(&self) -> u32 {
        self.kept + self.ignored
    }

    /// [`Verdict::Invalid`], for any reason.
    #[must_use]
    pub fn invalid(&self) -> u32 {
        self.rejected.iter().sum()
    }

    /// Each reason that occurred, with how often.
    pub fn rejected(&self) -> impl Iterator<Item = (Reason, u32)> + '_ {
        Reason::ALL.into_iter().zip(self.rejected).filter(|&(_, n)| n > 0)
    }
}

/// One entry of the `failed_records` of a strict answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecord<'a> {
    /// The record's place in the request, from 0.
    pub index: usize,
    /// Its `$insert_id`, if it has one that is a string.
    pub insert_id: Option<Cow<'a, str>>,
    /// Such as `properties.time`.
    pub field: Option<Cow<'a, str>>,
    /// What is wrong, in the API's own words where they are known.
    pub message: Cow<'a, str>,
}

impl Invalid {
    pub(crate) fn of(reason: Reason) -> Invalid {
        Invalid { reason, field: Field::None }
    }

    /// The field's name; `json` is the record.
    pub(crate) fn field_name(self, json: &[u8]) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self.field {
            Field::None => return None,
            Field::Event => "event",
            Field::Properties => "properties",
            Field::Time => "properties.time",
            Field::DistinctId => "properties.distinct_id",
            Field::InsertId => "$insert_id",
            Field::Property(span) => {
                let mut key = Vec::new();
                crate::json::unescape(span.get(json).unwrap_or_default(), &mut key);
                return Some(Cow::Owned(format!("properties.{}", String::from_utf8_lossy(&key))));
            }
        }))
    }

    /// What is wrong, for a record of this dialect.
    pub(crate) fn message(self, dialect: Dialect, json: &[u8]) -> Cow<'static, str> {
        if !dialect.is_strict() {
            return Cow::Borrowed(self.reason.text());
        }
        match (self.reason, self.field) {
            (Reason::EventMissing, _) => Cow::Borrowed("'event' is invalid: must be a non-empty string"),
            (Reason::PropertiesMissing, _) => Cow::Borrowed("'properties' is invalid: must be an object"),
            (Reason::StrictUtf8, _) => match self.field_name(json) {
                Some(name) => Cow::Owned(format!("{name} is invalid: string should be valid utf8")),
                None => Cow::Borrowed("the event is invalid: string should be valid utf8"),
            },
            (reason, Field::Property(_)) => {
                let name = self.field_name(json).unwrap_or_default();
                Cow::Owned(format!("'{name}' is invalid: {}", reason.text()))
            }
            (reason, _) => Cow::Borrowed(reason.text()),
        }
    }
}
