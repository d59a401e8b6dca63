//! What a request vector asks to be sent, answered and stored.
//!
//! `tests/data/vectors/ingestion.jsonl` says of each request what must be answered and stored. Stored records are
//! compared in the form in which `forebay log cat --json` prints them.

use std::collections::{BTreeSet, HashMap};

use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::{Answer, Json, Request};

/// The keys that make a record a profile or group update.
const OPERATIONS: [&str; 9] =
    ["$set", "$set_once", "$add", "$append", "$union", "$remove", "$merge", "$unset", "$delete"];

/// The projects that a fixture's tokens belong to.
///
/// # Panics
/// If it is no fixture.
pub fn owners(fixture: &Json) -> HashMap<String, u64> {
    let projects = fixture.get("projects").and_then(Json::as_array).expect("projects");
    projects.iter().map(|p| (p.str("token").to_owned(), p.u64("id"))).collect()
}

/// The request as the vector describes it.
///
/// # Panics
/// If it is no vector.
pub fn request(vector: &Json) -> Request {
    let query = vector.str("query");
    let target = format!("{}{}{query}", vector.str("path"), if query.is_empty() { "" } else { "?" });
    let mut request = Request::new(vector.str("method"), &target).close();
    for (name, value) in vector.get("headers").and_then(Json::as_object).expect("headers") {
        request = request.header(name, value.as_str().expect("a header is text"));
    }
    request.body(body(vector))
}

fn body(vector: &Json) -> Vec<u8> {
    let Some(recipe) = vector.get("generate") else {
        let text = vector.get("body_b64").and_then(Json::as_str).unwrap_or_default();
        return base64_simd::STANDARD.decode_to_vec(text).expect("body_b64 is base64");
    };
    let template = || recipe.get("template").expect("a template").to_string();
    let count = |key: &str| usize::try_from(recipe.u64(key)).expect("a size fits");
    match recipe.str("kind") {
        "repeat" => {
            let copies: Vec<_> =
                (0..count("count")).map(|i| template().replace("{i}", &i.to_string())).collect();
            format!("[{}]", copies.join(",")).into_bytes()
        }
        "pad" => template().replace("{pad}", &"x".repeat(count("bytes"))).into_bytes(),
        "nest" => {
            let depth = count("depth");
            template().replace("\"{nest}\"", &("[".repeat(depth) + &"]".repeat(depth))).into_bytes()
        }
        "many_props" => {
            let more: String = (0..count("count")).map(|i| format!("\"p{i}\":{i},")).collect();
            template().replacen("\"properties\":{", &format!("\"properties\":{{{more}"), 1).into_bytes()
        }
        "gzip_bomb" => gzip_bomb(recipe.str("prefix"), recipe.str("fill"), count("uncompressed_bytes") >> 20),
        other => panic!("unknown recipe {other:?}"),
    }
}

/// `prefix`, then `mebibytes` of `fill`, as gzip. One mebibyte is compressed and its bytes are repeated.
fn gzip_bomb(prefix: &str, fill: &str, mebibytes: usize) -> Vec<u8> {
    let mebibyte = fill.repeat(1 << 20);
    let (mut deflate, mut crc) = (Compress::new(Compression::best(), false), Crc::new());
    let mut part = |text: &str, flush| {
        let mut out = Vec::with_capacity(1 << 20);
        deflate.compress_vec(text.as_bytes(), &mut out, flush).expect("compressing to memory");
        out
    };
    let head = part(prefix, FlushCompress::Full);
    let block = part(&mebibyte, FlushCompress::Full);
    let end = part("", FlushCompress::Finish);
    crc.update(prefix.as_bytes());
    (0..mebibytes).for_each(|_| crc.update(mebibyte.as_bytes()));
    let mut out = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    out.extend(head);
    (0..mebibytes).for_each(|_| out.extend_from_slice(&block));
    out.extend(end);
    out.extend(crc.sum().to_le_bytes());
    out.extend(crc.amount().to_le_bytes());
    out
}

/// What is wrong with an answer.
///
/// # Panics
/// If `expect` is no vector's.
pub fn wrong_answer(expect: &Json, answer: &Answer) -> Option<String> {
    if u64::from(answer.status) != expect.u64("status") {
        return Some(format!("want status {}, got {answer:?}", expect.u64("status")));
    }
    wrong_body(expect, answer).or_else(|| wrong_headers(expect, answer))
}

fn wrong_body(expect: &Json, answer: &Answer) -> Option<String> {
    if let Some(body) = expect.get("body").and_then(Json::as_str) {
        let length = body.len().to_string();
        if answer.body != body.as_bytes()
            || (!body.is_empty() && answer.header("content-length") != Some(length))
        {
            return Some(format!("want body {body:?} with its length, got {answer:?}"));
        }
    }
    if let Some(want) = expect.get("body_json") {
        let bad = Json::read(&answer.body).map_or_else(Some, |got| want.missing_in(&got));
        if let Some(bad) = bad {
            return Some(format!("{bad} in {answer:?}"));
        }
    }
    if let Some(want) = expect.get("body_js") {
        let text = answer.text();
        let call = text.trim_end().trim_end_matches(';').strip_prefix(want.str("callback"));
        let argument = call.and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        let good = argument
            .and_then(|text| Json::read(text).ok())
            .is_some_and(|got| want.get("arg").is_some_and(|want| want.missing_in(&got).is_none()));
        if !good {
            return Some(format!("want a call as {want}, got {answer:?}"));
        }
    }
    let pixel = expect.get("body_kind").and_then(Json::as_str) == Some("pixel");
    let image = answer.body.starts_with(b"\x89PNG\r\n\x1a\n") || answer.body.starts_with(b"GIF8");
    (pixel && !image).then(|| format!("want an image, got {answer:?}"))
}

fn wrong_headers(expect: &Json, answer: &Answer) -> Option<String> {
    let empty = Json::Object(Default::default());
    for (name, want) in expect.get("headers").unwrap_or(&empty).as_object().expect("headers") {
        let (want, got) = (want.as_str().expect("a header is text"), answer.header(name).unwrap_or_default());
        let good = want.strip_suffix('*').map_or(got == want, |start| got.starts_with(start));
        if !good {
            return Some(format!("want header {name}: {want}, got {answer:?}"));
        }
    }
    for (name, want) in expect.get("headers_contain").unwrap_or(&empty).as_object().expect("headers") {
        let got = answer.header(name).unwrap_or_default().to_ascii_lowercase();
        let got: BTreeSet<_> = got.split(',').map(str::trim).collect();
        for item in want.as_array().expect("items").iter().filter_map(Json::as_str) {
            if !got.contains(item.to_ascii_lowercase().as_str()) {
                return Some(format!("header {name} lacks {item}: {answer:?}"));
            }
        }
    }
    None
}

/// What is wrong with the records that the request stored.
///
/// # Panics
/// If `expect` is no vector's.
pub fn wrong_records(expect: &Json, stored: &[Json], owners: &HashMap<String, u64>) -> Option<String> {
    let mut wanted: Vec<Json> = expect.get("events").and_then(Json::as_array).unwrap_or_default().to_vec();
    if let Some(many) = expect.get("events_repeat") {
        let count = usize::try_from(many.u64("count")).expect("a count fits");
        wanted = vec![many.get("record").expect("a record").clone(); count];
    }
    if wanted.len() != stored.len() {
        return Some(format!("want {} records, got {}", wanted.len(), stored.len()));
    }
    // The records of one request may lie in several lanes, in order within each.
    let (mut left, mut last) = (stored.iter().collect::<Vec<_>>(), HashMap::new());
    for want in &wanted {
        let Some(at) = left.iter().position(|got| is_record(want, got, owners)) else {
            return Some(format!("no record as {want}; left are {}", left[0]));
        };
        let got = left.remove(at);
        let seq = got.u64("seq");
        if last.insert(got.u64("lane"), seq).is_some_and(|before| before >= seq) {
            return Some(format!("out of order: {got}"));
        }
    }
    None
}

fn is_record(want: &Json, got: &Json, owners: &HashMap<String, u64>) -> bool {
    let named = want.get("project_id").and_then(Json::as_u64);
    let owner = named.or_else(|| owners.get(want.get("token")?.as_str()?).copied());
    let project = got.get("project_id").expect("a record has its project");
    let found = want.get("project_found") == Some(&Json::Bool(owner.is_some()));
    let record = got.get("record").expect("a record");
    let operations: BTreeSet<_> = OPERATIONS.iter().filter(|op| record.get(op).is_some()).copied().collect();
    project.as_u64() == owner
        && found
        && (named.is_some() || got.get("token") == want.get("token"))
        && want.get("event").is_none_or(|name| record.get("event") == Some(name))
        && want.get("op").and_then(Json::as_str).is_none_or(|op| operations == op.split('+').collect())
}
