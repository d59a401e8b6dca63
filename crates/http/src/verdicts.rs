//! From the scanner's words for what is wrong to the ledger's.

use forebay_route::Reason;
use forebay_scan::{Reason as Fault, ScanError};

/// The ledger's name for what is wrong with one record.
pub(crate) fn of_record(fault: Fault) -> Reason {
    match fault {
        Fault::Empty => Reason::Empty,
        Fault::NotAnObject => Reason::NotAnObject,
        Fault::MalformedLine => Reason::Malformed,
        Fault::EventMissing => Reason::EventMissing,
        Fault::PropertiesMissing => Reason::PropertiesMissing,
        Fault::TokenMissing | Fault::ProfileTokenMissing | Fault::TokenTooLong => Reason::TokenMissing,
        Fault::MergeOutsideImport => Reason::MergeNotAllowed,
        Fault::DistinctIdMissing | Fault::StrictDistinctIdMissing => Reason::DistinctIdMissing,
        Fault::StrictDistinctIdInvalid => Reason::DistinctIdInvalid,
        Fault::GroupKeyMissing => Reason::GroupKeyMissing,
        Fault::GroupIdMissing => Reason::GroupIdMissing,
        Fault::OperationMissing => Reason::OperationMissing,
        Fault::OperationInvalid => Reason::OperationInvalid,
        Fault::StrictTimeMissing => Reason::TimeMissing,
        Fault::StrictTimeNotNumber | Fault::StrictTimeTooOld | Fault::StrictTimeInFuture => {
            Reason::TimeInvalid
        }
        Fault::StrictInsertIdMissing => Reason::InsertIdMissing,
        Fault::StrictInsertIdTooLong | Fault::StrictInsertIdChars | Fault::StrictInsertIdDenied => {
            Reason::InsertIdInvalid
        }
        Fault::StrictUtf8 => Reason::InvalidUtf8,
        Fault::StrictTooManyProperties
        | Fault::StrictTooManyKeys
        | Fault::StrictTooDeep
        | Fault::StrictArrayTooLong => Reason::PropertiesTooMany,
        Fault::StrictEventTooLarge => Reason::EventTooLarge,
    }
}

/// The ledger's name for what is wrong with a whole request.
pub(crate) fn of_request(error: &ScanError) -> Reason {
    match error {
        ScanError::TooLarge { .. } => Reason::BodyTooLarge,
        ScanError::TooManyEvents { .. } => Reason::TooManyEvents,
        ScanError::UnsupportedEncoding => Reason::UnsupportedEncoding,
        ScanError::Gzip(_) => Reason::BadGzip,
        ScanError::Empty => Reason::Empty,
        ScanError::Base64 | ScanError::Malformed { .. } | ScanError::TooDeep { .. } => Reason::Malformed,
    }
}
