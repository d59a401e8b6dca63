//! Whether a file is a table: RFC 4180 in UTF-8, a header without doubles, records of its width, the
//! first column without doubles.
//!
//! # Invariants
//! * Memory beyond the file itself: eight bytes a record, however long the keys are.
//! * A file that passes reads the same with every reader of RFC 4180.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
};

use ::csv::{ByteRecord, ReaderBuilder};
use serde::Serialize;

/// The most faults reported of one file.
pub const FAILED_RECORDS_MAX: usize = 10;

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FailedRecord {
    /// The record, counted from 0 after the header; faults of the header itself have 0 too.
    pub index: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Checks a file. Returns how many records it has, the header not counted.
///
/// # Errors
/// The first [`FAILED_RECORDS_MAX`] faults.
pub fn check_csv(bytes: &[u8]) -> Result<u64, Vec<FailedRecord>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // With a quote astray nobody can say where records end, so that is all there is to report.
    if let Some(fault) = quote_astray(bytes) {
        return Err(vec![fault]);
    }
    let mut faults = Faults(Vec::new());
    let mut records = Records::of(bytes);
    let header = records.next().cloned().unwrap_or_default();
    if header.is_empty() {
        return Err(vec![FailedRecord {
            index: 0,
            message: "the file is empty, a header is needed".to_owned(),
        }]);
    }
    check_header(&header, &mut faults);
    let hasher = RandomState::new();
    let mut hashes = Vec::new();
    let mut rows = 0;
    while let Some(record) = records.next() {
        check_record(record, header.len(), rows, &mut faults);
        hashes.push(hasher.hash_one(record.get(0).unwrap_or_default()));
        rows += 1;
    }
    hashes.sort_unstable();
    let doubled: HashSet<u64> =
        hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    if !doubled.is_empty() {
        find_doubles(bytes, &hasher, &doubled, &mut faults);
    }
    if faults.0.is_empty() { Ok(rows) } else { Err(faults.in_order()) }
}

struct Faults(Vec<FailedRecord>);

impl Faults {
    fn add(&mut self, index: u64, message: String) {
        if self.0.len() < FAILED_RECORDS_MAX {
            self.0.push(FailedRecord { index, message });
        }
    }

    fn in_order(mut self) -> Vec<FailedRecord> {
        self.0.sort_by_key(|fault| fault.index);
        self.0
    }
}

/// The records of a file whose quotes are in order, one buffer for all.
struct Records<'a> {
    reader: ::csv::Reader<&'a [u8]>,
    record: ByteRecord,
}

impl<'a> Records<'a> {
    fn of(bytes: &'a [u8]) -> Records<'a> {
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        Records { reader, record: ByteRecord::new() }
    }

    fn next(&mut self) -> Option<&ByteRecord> {
        // Reading bytes from memory with any width allowed has nothing to fail at.
        let more = self.reader.read_byte_record(&mut self.record).unwrap_or(false);
        more.then_some(&self.record)
    }
}

fn check_header(header: &ByteRecord, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for name in header {
        match std::str::from_utf8(name) {
            Err(_) => faults.add(0, "a column name in the header is not UTF-8".to_owned()),
            Ok(name) if !seen.insert(name) => {
                faults.add(0, format!("the header has two columns {:?}", clip(name)))
            }
            Ok(_) => {}
        }
    }
}

fn check_record(record: &ByteRecord, width: usize, index: u64, faults: &mut Faults) {
    if record.len() != width {
        faults.add(index, format!("the record has {} columns, the header has {width}", record.len()));
    }
    if std::str::from_utf8(record.as_slice()).is_err() {
        faults.add(index, "the record is not UTF-8".to_owned());
    }
}

/// Reads the file again for the records whose keys have the same hash, and compares the keys themselves.
fn find_doubles(bytes: &[u8], hasher: &RandomState, doubled: &HashSet<u64>, faults: &mut Faults) {
    let mut first: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut records = Records::of(bytes);
    records.next();
    let mut index = 0;
    while let Some(record) = records.next()
        && faults.0.len() < FAILED_RECORDS_MAX
    {
        let key = record.get(0).unwrap_or_default();
        if doubled.contains(&hasher.hash_one(key)) {
            match first.get(key) {
                None => {
                    first.insert(key.to_owned(), index);
                }
                Some(first) => {
                    let key = String::from_utf8_lossy(key);
                    faults.add(index, format!("the key {:?} is that of record {first} too", clip(&key)));
                }
            }
        }
        index += 1;
    }
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The first quote that stands where RFC 4180 has none, or the quote that nothing closes.
fn quote_astray(bytes: &[u8]) -> Option<FailedRecord> {
    #[derive(PartialEq)]
    enum At {
        Start,
        Plain,
        Quoted,
        /// Behind a quote within a quoted field: the field ended, or a second one follows.
        Closed,
    }
    let mut at = At::Start;
    // The header is record 0 here and lines that hold nothing are none, as for the reader.
    let (mut record, mut empty) = (0_u64, true);
    let fault = |record: u64, message: &str| {
        Some(FailedRecord { index: record.saturating_sub(1), message: message.to_owned() })
    };
    for &byte in bytes {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::Start | At::Closed, b'"') => At::Quoted,
            (At::Plain, b'"') => return fault(record, "a quote within an unquoted field; quote the field"),
            (_, b'\n' | b'\r') => {
                record += u64::from(!empty);
                empty = true;
                At::Start
            }
            (_, b',') => At::Start,
            (At::Closed, _) => return fault(record, "text after the quote that closes a field"),
            (At::Start | At::Plain, _) => At::Plain,
        };
        empty = empty && matches!(byte, b'\n' | b'\r');
    }
    if at == At::Quoted { fault(record, "a quote that nothing closes") } else { None }
}
