//! The same as [`crate::Scanner`], slowly and simply: the oracle of tests and fuzzing.
//!
//! It decodes step by step into fresh vectors, builds a tree of every record, and looks fields up in it.
//! serde_json says what is JSON. It shares the vocabulary of verdicts with the scanner, and no code that
//! decides anything.

mod forms;
mod json;
mod judge;

use crate::{DirectoryEntry, Limits, Request, ScanError, Verdict};
pub use forms::{base64, form, repair};
pub use json::{Member, Node, Tree, parse};

/// A request that was read to its end.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// See [`crate::Params`].
    pub params: Params,
    /// What the spans index.
    pub text: Vec<u8>,
    /// Every record.
    pub records: Vec<Record>,
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// See [`crate::Record`].
    pub entry: DirectoryEntry,
    /// See [`crate::Record`].
    pub verdict: Verdict,
    /// What routes it, escapes resolved.
    pub token: Vec<u8>,
}

/// What a request asked for beside its data: see [`crate::Params`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field or method of the same name there")]
pub struct Params {
    pub verbose: bool,
    pub img: bool,
    pub ip: bool,
    pub strict: bool,
    pub callback: Option<String>,
    pub project_id: Option<String>,
    pub api_key: Option<String>,
}

/// Reads a whole request.
///
/// # Errors
/// Those of [`crate::Scanner::scan`], with less said about the place.
pub fn scan(limits: Limits, request: &Request<'_>) -> (Params, Result<Scanned, ScanError>) {
    let limits = limits.clamped();
    let query = form(request.query);
    let mut params = forms::params(&query, &[]);
    let read = (|| {
        let body = forms::inflated(request, limits.body_bytes_max)?;
        let content = &body[forms::content_start(&body)..];
        let lines = forms::says_lines(request.content_type.unwrap_or_default());
        if content.starts_with(b"{") || content.starts_with(b"[") || lines && !content.is_empty() {
            return Ok((body, lines));
        }
        let pairs = form(content);
        params = forms::params(&query, &pairs);
        let data = forms::first(&pairs, "data").or(forms::first(&query, "data")).ok_or(ScanError::Empty)?;
        Ok((forms::decode_data(data)?, false))
    })();
    let scanned = read.and_then(|(text, lines)| judge::records(limits, request, &params, text, lines));
    (params.clone(), scanned.map(|(text, records)| Scanned { params, text, records }))
}

/// Compares what the two say of one request.
///
/// # Errors
/// What they disagree on.
pub fn compare(
    fast: &Result<crate::Scanned<'_>, crate::Failure<'_>>,
    plain: &(Params, Result<Scanned, ScanError>),
    limits: Limits,
) -> Result<(), String> {
    let differ = |what: &str, fast: &dyn std::fmt::Debug, plain: &dyn std::fmt::Debug| {
        Err(format!("{what}: the scanner says {fast:?}, its twin {plain:?}"))
    };
    let fast_params = Params::from(fast.as_ref().map_or_else(|failure| failure.params, |ok| ok.params));
    if fast_params != plain.0 {
        return differ("params", &fast_params, &plain.0);
    }
    let (fast, plain) = match (fast, &plain.1) {
        (Err(fast), Err(plain)) if kind(&fast.error) == kind(plain) => return Ok(()),
        (Ok(fast), Ok(plain)) => (fast, plain),
        (fast, plain) => {
            let fast = fast.as_ref().map(|s| s.records).map_err(|f| f.error);
            return differ("outcome", &fast, &plain.as_ref().map(|s| &s.records));
        }
    };
    if fast.text != plain.text {
        return differ("text", &fast.text, &plain.text);
    }
    let mut counts = crate::Counts::default();
    plain.records.iter().for_each(|record| counts.add(record.verdict));
    if *fast.counts != counts {
        return differ("counts", fast.counts, &counts);
    }
    let mut invalid = 0;
    let listed = plain.records.iter().filter(|record| {
        invalid += usize::from(matches!(record.verdict, Verdict::Invalid(_)));
        !matches!(record.verdict, Verdict::Invalid(_)) || invalid <= limits.events_max
    });
    let fast_records = fast.records.iter().map(|record| Record {
        entry: record.entry,
        verdict: record.verdict,
        token: fast.token(record).to_vec(),
    });
    let (fast, plain): (Vec<_>, Vec<_>) = (fast_records.collect(), listed.cloned().collect());
    if fast.len() != plain.len() {
        return differ("number of records", &fast, &plain);
    }
    match fast.iter().zip(&plain).find(|(fast, plain)| fast != plain) {
        Some((fast, plain)) => differ("record", fast, plain),
        None => Ok(()),
    }
}

/// Which of two faults is met first depends on how one reads.
fn kind(error: &ScanError) -> &'static str {
    match error {
        ScanError::TooDeep { .. } => "malformed_json",
        ScanError::TooLarge { .. } => "gzip_broken",
        other => other.code(),
    }
}

impl From<&crate::Params> for Params {
    fn from(params: &crate::Params) -> Params {
        Params {
            verbose: params.verbose,
            img: params.img,
            ip: params.ip,
            strict: params.strict,
            callback: params.callback().map(str::to_owned),
            project_id: params.project_id().map(str::to_owned),
            api_key: params.api_key().map(str::to_owned),
        }
    }
}
