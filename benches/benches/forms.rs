//! What unwrapping a payload costs, beside the fastest decoders there are for the same bytes.
//!
//! Every form of the same events in turn, round by round, by the thread's CPU time: the JSON as it is, the JSON in the
//! form, and the decoder alone, into memory that it keeps. A form should cost what the JSON costs and the fastest
//! decoder: the ratio to that sum is the last column. Forms with `%` escapes have no decoder beside them that does all.

#![expect(clippy::print_stdout, reason = "what it found")]

mod turns;

use bytes::Bytes;
use flate2::{Compression, Decompress, FlushDecompress, write::GzEncoder};
use forebay_benches::events::batch;
use forebay_scan::{Dialect, Limits, Request, Scanner};
use libdeflater::Decompressor;
use std::{hint::black_box, io::Write as _};
use turns::{cpu_ns, median};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const COUNTS: [usize; 3] = [1, 50, 2000];
const NOW_MS: u64 = 1_760_000_000_000;
const SEED: u64 = 7;
const ROUNDS: usize = 41;
/// How much JSON each way reads in a round.
const ROUND_BYTES: usize = 1 << 20;
/// Of a gzip header without a name, and of its trailer.
const GZIP_FRAME: (usize, usize) = (10, 8);

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// Something that takes turns: it is called once for each body of a round.
type Way<'a> = (&'static str, Box<dyn FnMut(Bytes) + 'a>, Bytes);

/// A scan of these bodies, which must hold so many events.
fn scan<'a>(name: &'static str, body: Vec<u8>, count: usize) -> Way<'a> {
    let mut scanner = Scanner::new(Limits::default());
    let scan = move |body| {
        let request = Request { body, now_ms: NOW_MS, ..Request::new(Dialect::Track) };
        assert_eq!(scanner.scan(request).expect("valid").records.len(), count);
    };
    (name, Box::new(scan), Bytes::from(body))
}

/// CPU-nanoseconds of each way and round.
fn in_turn(ways: &mut [Way<'_>], times: usize) -> Vec<Vec<f64>> {
    let mut costs = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, way, body), costs) in ways.iter_mut().zip(&mut costs) {
            // A server hands its body over.
            let bodies = vec![body.clone(); times];
            let begun = cpu_ns();
            bodies.into_iter().for_each(&mut *way);
            costs.push((cpu_ns() - begun) / times as f64);
        }
    }
    costs
}

fn main() {
    for count in COUNTS {
        let json = batch(TOKEN, count, SEED);
        let (base64, packed) = (base64_simd::STANDARD.encode_to_string(&json), gzip(&json));
        let deflated = GZIP_FRAME.0..packed.len() - GZIP_FRAME.1;
        let (mut from_base64, mut from_gzip) = (vec![0; json.len()], vec![0; json.len()]);
        let mut from_zlib_rs = from_gzip.clone();
        let (mut libdeflate, mut zlib_rs) = (Decompressor::new(), Decompress::new(false));
        let mut ways: Vec<Way<'_>> = vec![
            scan("JSON", json.clone().into_bytes(), count),
            scan("base64 in a form", format!("data={base64}&verbose=1").into_bytes(), count),
            scan("gzip", packed.clone(), count),
            (
                "base64-simd alone",
                Box::new(|text| {
                    let out = base64_simd::Out::from_slice(&mut from_base64);
                    black_box(base64_simd::STANDARD.decode(&text, out).expect("valid").len());
                }),
                Bytes::from(base64.clone().into_bytes()),
            ),
            (
                "libdeflate alone",
                Box::new(|gzip| {
                    black_box(libdeflate.gzip_decompress(&gzip, &mut from_gzip).expect("valid"));
                }),
                Bytes::from(packed.clone()),
            ),
            (
                "zlib-rs alone",
                Box::new(|gzip: Bytes| {
                    zlib_rs.reset(false);
                    let (bytes, finish) = (&gzip[deflated.clone()], FlushDecompress::Finish);
                    black_box(zlib_rs.decompress(bytes, &mut from_zlib_rs, finish).expect("valid"));
                }),
                Bytes::from(packed.clone()),
            ),
        ];
        let costs = in_turn(&mut ways, ROUND_BYTES.div_ceil(json.len()));
        println!("{count} events a request, CPU-ns an event:");
        let [plain, in_base64, in_gzip, base64_alone, libdeflate_alone, zlib_rs_alone] = &costs[..] else {
            unreachable!("six ways")
        };
        let of_sum = |form: &[f64], decoder: &[f64]| {
            let sums = plain.iter().zip(decoder).map(|(plain, decoder)| plain + decoder);
            median(form.iter().zip(sums).map(|(form, sum)| form / sum).collect())
        };
        let inflaters = libdeflate_alone.iter().zip(zlib_rs_alone);
        let fastest: Vec<_> = inflaters.map(|(one, other)| one.min(*other)).collect();
        let ratios = [None, Some(of_sum(in_base64, base64_alone)), Some(of_sum(in_gzip, &fastest))];
        for (i, ((name, ..), costs)) in ways.iter().zip(&costs).enumerate() {
            let each = median(costs.clone()) / count as f64;
            match ratios.get(i).copied().flatten() {
                Some(ratio) => println!("  {name:20} {each:7.0}  {ratio:.2} of JSON and the fastest decoder"),
                None => println!("  {name:20} {each:7.0}"),
            }
        }
    }
}
