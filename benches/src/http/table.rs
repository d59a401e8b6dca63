//! A report for people: for each load what it is, and a column for each server in each setting.

use std::fmt::Write;

use super::report::{Case, Figure, Figures, LoadReport, Report};

/// What stands in a row: its name, and the figure of a case.
type Row = (&'static str, fn(&Figures) -> Option<Figure>);

const ROWS: [Row; 26] = [
    ("requests/s", |f| f.requests_per_s),
    ("events/s", |f| f.events_per_s),
    ("MB/s of JSON", |f| f.mb_per_s),
    ("CPU-s per million events", |f| f.cpu_s_per_million_events),
    ("CPU-µs per request", |f| f.cpu_us_per_request),
    ("requests per CPU-s ÷ bare hyper's", |f| f.of_bare),
    ("events per CPU-s ÷ simd-json's alone", |f| f.of_simd_json),
    ("CPU per event ÷ without followers", |f| f.cpu_of_unfollowed),
    ("requests/s ÷ without followers", |f| f.rate_of_unfollowed),
    ("latency p50, µs", |f| f.p50_us),
    ("latency p99, µs", |f| f.p99_us),
    ("latency p99.9, µs", |f| f.p999_us),
    ("latency p99, in flushes", |f| f.p99_flushes),
    ("flushes/s", |f| f.flushes_per_s),
    ("mean flush, µs", |f| f.flush_us),
    ("KiB per flush", |f| f.kib_per_flush),
    ("events per flush", |f| f.events_per_flush),
    ("committed bytes per byte", |f| f.committed_bytes_per_byte),
    ("prepared bytes per byte", |f| f.prepared_bytes_per_byte),
    ("device bytes per byte (all programs')", |f| f.device_bytes_per_byte),
    ("anonymous memory, MiB", |f| f.anonymous_mib),
    ("resident memory, MiB", |f| f.resident_mib),
    ("followers print, MB/s", |f| f.followed_mb_per_s),
    ("followers' CPU, cores", |f| f.followers_cores),
    ("requests not sent in time", |f| f.left_over),
    ("generator's CPU, cores", |f| f.generator_cores),
];

/// The whole report as text. Medians of the rounds, with their range.
#[must_use]
pub fn table(report: &Report) -> String {
    let machine = &report.machine;
    let mut out = format!("{} cores, {}, Linux {}\n", machine.cores, machine.cpu, machine.kernel);
    for load in &report.loads {
        out.push('\n');
        one(load, &mut out);
    }
    out
}

fn one(load: &LoadReport, out: &mut String) {
    let rounds = load.cases.first().map_or(&[][..], |case| &case.rounds);
    let seconds = rounds.first().map_or(0.0, |round| round.seconds);
    // Writing to a string does not fail, here and below.
    let _ = writeln!(
        out,
        "{} {}: {} events of {:.0} bytes a request, {:.0} bytes as sent; {} rounds of {seconds:.1} s; simd-json alone: \
         {} CPU-s per million events",
        load.load,
        load.form,
        exact(load.events_per_request),
        load.event_bytes,
        load.request_bytes,
        rounds.len(),
        number(load.simd_json_cpu_s_per_million_events.median),
    );
    // The closed loop and the open one below each other; and never wider than a screen.
    let mut cases: Vec<&Case> = load.cases.iter().collect();
    cases.sort_by_key(|case| case.offered_per_s.is_some());
    for group in cases.chunk_by(|a, b| a.offered_per_s.is_some() == b.offered_per_s.is_some()) {
        group.chunks(COLUMNS_MAX).for_each(|cases| columns(cases, out));
    }
    for idle in &load.idle {
        let _ = writeln!(
            out,
            "{}: {:.1} MiB anonymous when idle, and {:.0} bytes for each of {} idle connections",
            idle.server, idle.anonymous_mib_at_start, idle.bytes_per_connection, idle.connections
        );
    }
    for accounts in &load.accounts {
        let _ = writeln!(
            out,
            "{}: {} events acknowledged, and as many stored and in the log",
            accounts.server, accounts.acknowledged
        );
    }
}

/// The most cases beside each other.
const COLUMNS_MAX: usize = 4;

fn columns(cases: &[&Case], out: &mut String) {
    let mut lines = vec![vec![String::new()]];
    lines[0].extend(cases.iter().map(|case| heading(case)));
    for (name, figure) in ROWS {
        let cells = cases.iter().map(|case| figure(&case.figures).map(|figure| cell(&figure)));
        let cells: Vec<Option<String>> = cells.collect();
        // What nobody has is no row.
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
            lines.push(std::iter::once(name.to_owned()).chain(cells).collect());
        }
    }
    aligned(&lines, out);
}

/// What tells a case from the others.
fn heading(case: &Case) -> String {
    let mut text = format!("{}, {} conn.", case.server, case.connections);
    if let Some(rate) = case.offered_per_s {
        let _ = write!(text, ", {}/s", number(rate));
    }
    if case.followers > 0 {
        let _ = write!(text, ", {} followers", case.followers);
    }
    text
}

/// A median and its range: `1234 [1200..1300]`.
fn cell(figure: &Figure) -> String {
    let Figure { median, min, max } = *figure;
    if min == max { number(median) } else { format!("{} [{}..{}]", number(median), number(min), number(max)) }
}

/// Three digits, or all before the point.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// The same without zeros at its end: for what is exact, such as a count or a power of ten.
pub(crate) fn exact(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn aligned(lines: &[Vec<String>], out: &mut String) {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |c: usize| lines.iter().map(|line| line[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in lines {
        let mut text = String::new();
        for (c, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[c] - cell.chars().count());
            let _ = if c == 0 { write!(text, "{cell}{pad}") } else { write!(text, "  {pad}{cell}") };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::report::sample;

    #[test]
    fn every_case_is_a_column_and_what_nobody_has_is_no_row() {
        let text = table(&sample());
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("2 cores"), "{text}");
        let heading = lines.iter().find(|line| line.contains("bare hyper, 256 conn.")).expect("a heading");
        assert!(heading.contains("forebay, 256 conn."), "{text}");
        let ratio = lines.iter().find(|line| line.starts_with("requests per CPU-s")).expect("ratios");
        assert!(ratio.contains("0.80") && ratio.contains("1.00"), "{ratio}");
        assert!(!text.contains("followers print"), "{text}");
        assert!(text.contains("1000 events acknowledged"), "{text}");
        let widths: Vec<_> = lines[3..6].iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width == widths[0]), "columns end together: {text}");
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (0.5, "0.50"),
            (9.996, "10.00"),
            (12.34, "12.3"),
            (98765.4, "98765"),
        ] {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in [(1.0, "1"), (10.0, "10"), (100.0, "100"), (19.5, "19.5"), (0.0, "0")] {
            assert_eq!(exact(value), expected);
        }
    }
}
