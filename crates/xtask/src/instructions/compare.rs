//! The comparison of two sets of costs: which changed by more than counts do by themselves.

use std::fmt;

use super::RECORD;
use super::baseline::{self, CPU, Row, Setting, value};

/// How much may change, in per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tolerance {
    /// More instructions than this fails.
    pub(crate) slower: f64,
    /// Fewer instructions than this fails too: against a stale baseline the next slow-down would not show.
    pub(crate) faster: f64,
}

impl Tolerance {
    /// With the tools of the baseline. Repeated counts differ by less than 1 % where threads meet, in one order or
    /// another, and by less than 0.1 % elsewhere.
    pub(crate) const HERE: Tolerance = Tolerance { slower: 3.0, faster: 10.0 };
    /// With another compiler, libc or valgrind.
    pub(crate) const ELSEWHERE: Tolerance = Tolerance { slower: 25.0, faster: 50.0 };

    /// What applies between two sets of tools; `None` if their counts say nothing about each other.
    pub(crate) fn between(recorded: &[Setting], now: &[Setting]) -> Option<Tolerance> {
        if value(recorded, CPU) != value(now, CPU) {
            return None;
        }
        let same = baseline::differences(recorded, now).is_empty();
        Some(if same { Tolerance::HERE } else { Tolerance::ELSEWHERE })
    }
}

/// So little is within rounding, however few there are.
const LEAST_INSTRUCTIONS: f64 = 2.0;
/// Allocations, and per cent of them where they are many: one more in every unit shows, what threads may differ by not.
const MORE_ALLOCATIONS: (f64, f64) = (0.8, 10.0);
/// Likewise: whether a buffer is free again when the next is needed may be up to the threads.
const FEWER_ALLOCATIONS: (f64, f64) = (1.5, 25.0);

/// One allocation more or less in so many instructions is nothing: a large body comes in pieces, as many as the kernel
/// likes.
const INSTRUCTIONS_AN_ALLOCATION: f64 = 200_000.0;

/// What became of a benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Small,
    Slower,
    Faster,
    /// It is not in the baseline.
    New,
    /// It is in the baseline only.
    Gone,
}

struct Line<'a> {
    name: &'a str,
    unit: &'a str,
    before: Option<&'a Row>,
    after: Option<&'a Row>,
    change: Change,
}

/// Each benchmark before and now.
pub(crate) struct Comparison<'a>(Vec<Line<'a>>);

impl<'a> Comparison<'a> {
    /// Compares by name.
    pub(crate) fn of(recorded: &'a [Row], now: &'a [Row], tolerance: Tolerance) -> Comparison<'a> {
        let named = |rows: &'a [Row], name: &str| rows.iter().find(|row| row.name == name);
        let gone = recorded.iter().filter(|row| named(now, &row.name).is_none());
        let lines = now.iter().chain(gone).map(|row| {
            let (before, after) = (named(recorded, &row.name), named(now, &row.name));
            let change = match (before, after) {
                (Some(before), Some(after)) => changed(before, after, tolerance),
                (None, _) => Change::New,
                (_, None) => Change::Gone,
            };
            Line { name: &row.name, unit: &row.unit, before, after, change }
        });
        Comparison(lines.collect())
    }

    /// Fails if anything changed by more than is tolerated.
    pub(crate) fn verdict(&self, tolerance: Tolerance) -> Result<(), String> {
        let of = |change| {
            let names = self.0.iter().filter(|line| line.change == change).map(|line| line.name);
            names.collect::<Vec<_>>().join(", ")
        };
        let Tolerance { slower, faster } = tolerance;
        let told = [
            (Change::Slower, format!("more than {slower} % more instructions, or more allocations")),
            (
                Change::Faster,
                format!(
                    "more than {faster} % fewer instructions, or fewer allocations; until that is recorded, a \
                     slow-down would not show: {RECORD}"
                ),
            ),
            (Change::New, format!("not in the baseline: {RECORD}")),
            (Change::Gone, format!("in the baseline only: {RECORD}")),
        ]
        .map(|(change, what)| (of(change), what));
        let told = told.iter().filter(|(names, _)| !names.is_empty());
        let told = told.map(|(names, what)| format!("{names}: {what}")).collect::<Vec<_>>().join("\n  ");
        if told.is_empty() { Ok(()) } else { Err(told) }
    }
}

fn changed(before: &Row, after: &Row, tolerance: Tolerance) -> Change {
    let (b, a) = (before.cost, after.cost);
    let beyond = |before: f64, (least, percent): (f64, f64)| (before * percent / 100.0).max(least);
    let by = |percent| beyond(b.instructions, (LEAST_INSTRUCTIONS, percent));
    let pieces = a.instructions.max(b.instructions) / INSTRUCTIONS_AN_ALLOCATION;
    let slower = a.instructions - b.instructions > by(tolerance.slower)
        || a.allocations - b.allocations > beyond(b.allocations, MORE_ALLOCATIONS).max(pieces);
    let faster = b.instructions - a.instructions > by(tolerance.faster)
        || b.allocations - a.allocations > beyond(b.allocations, FEWER_ALLOCATIONS).max(pieces);
    match (slower, faster) {
        (true, _) => Change::Slower,
        (false, true) => Change::Faster,
        (false, false) => Change::Small,
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:24} {:8} {:>12} {:>12} {:>10} {:>12} {:>8}",
            "instructions", "per", "baseline", "now", "change", "allocations", "now"
        )?;
        for Line { name, unit, before, after, change } in &self.0 {
            let (before, after) = (before.map(|row| row.cost), after.map(|row| row.cost));
            let number = |n: Option<f64>, digits| n.map_or("-".to_owned(), |n| format!("{n:.digits$}"));
            let percent = before.zip(after).filter(|(before, _)| before.instructions > 0.0);
            // Rounded here, and not by the format: so that nothing is "-0.00".
            let change_of = |b: f64, a: f64| ((a / b - 1.0) * 10_000.0).round() / 100.0 + 0.0;
            let percent = percent.map(|(before, after)| change_of(before.instructions, after.instructions));
            writeln!(
                f,
                "{name:24} {unit:8} {:>12} {:>12} {:>10} {:>12} {:>8}{}",
                number(before.map(|cost| cost.instructions), 1),
                number(after.map(|cost| cost.instructions), 1),
                percent.map_or("-".to_owned(), |percent| format!("{percent:+.2} %")),
                number(before.map(|cost| cost.allocations), 2),
                number(after.map(|cost| cost.allocations), 2),
                match change {
                    Change::Small => "",
                    Change::Slower => "  SLOWER",
                    Change::Faster => "  FASTER",
                    Change::New => "  NEW",
                    Change::Gone => "  GONE",
                }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::baseline::Cost;
    use super::*;

    fn row(name: &str, instructions: f64, allocations: f64) -> Row {
        Row { name: name.to_owned(), unit: "event".to_owned(), cost: Cost { instructions, allocations } }
    }

    /// What is said when a benchmark of 1000 instructions and 10 allocations comes to these.
    fn check(instructions: f64, allocations: f64, says: Option<&str>) {
        let (before, after) = ([row("a", 1000.0, 10.0)], [row("a", instructions, allocations)]);
        let verdict = Comparison::of(&before, &after, Tolerance::HERE).verdict(Tolerance::HERE);
        match says {
            None => assert_eq!(verdict, Ok(()), "{instructions} {allocations}"),
            Some(word) => {
                let why = verdict.expect_err(word);
                assert!(why.starts_with("a: ") && why.contains(word), "{why}");
            }
        }
    }

    #[test]
    fn a_slow_down_beyond_the_tolerance_fails() {
        check(1000.0, 10.0, None);
        check(1030.0, 10.0, None);
        check(1031.0, 10.0, Some("more instructions"));
        check(1000.0, 11.0, None);
        check(1000.0, 11.1, Some("more instructions"));
        // Fewer instructions do not pay for more allocations.
        check(500.0, 12.0, Some("more instructions"));
    }

    #[test]
    fn a_stale_baseline_fails_and_says_how_to_record_it() {
        check(901.0, 10.0, None);
        check(899.0, 10.0, Some(RECORD));
        check(1000.0, 7.5, None);
        check(1000.0, 7.4, Some(RECORD));
    }

    #[test]
    fn a_single_instruction_of_a_few_is_rounding() {
        let (before, after) = ([row("a", 20.0, 0.0)], [row("a", 21.5, 0.4)]);
        assert_eq!(Comparison::of(&before, &after, Tolerance::HERE).verdict(Tolerance::HERE), Ok(()));
        let after = [row("a", 20.0, 1.0)];
        Comparison::of(&before, &after, Tolerance::HERE).verdict(Tolerance::HERE).expect_err("an allocation");
    }

    #[test]
    fn allocations_do_not_matter_beside_millions_of_instructions() {
        let (before, after) = ([row("a", 35e6, 12.0)], [row("a", 35e6, 28.5)]);
        assert_eq!(Comparison::of(&before, &after, Tolerance::HERE).verdict(Tolerance::HERE), Ok(()));
        let after = [row("a", 35e6, 200.0)];
        Comparison::of(&before, &after, Tolerance::HERE).verdict(Tolerance::HERE).expect_err("many more");
    }

    #[test]
    fn benchmarks_that_come_and_go_are_told() {
        let (before, after) = ([row("old", 1.0, 0.0)], [row("new", 1.0, 0.0)]);
        let comparison = Comparison::of(&before, &after, Tolerance::HERE);
        let why = comparison.verdict(Tolerance::HERE).expect_err("two differ");
        assert!(
            why.contains("new: not in the baseline") && why.contains("old: in the baseline only"),
            "{why}"
        );
        let table = comparison.to_string();
        assert!(table.contains("NEW") && table.contains("GONE"), "{table}");
    }

    #[test]
    fn the_table_says_by_how_much() {
        let before = [row("a", 1000.0, 1.0), row("b", 1000.0, 1.0)];
        let after = [row("a", 1250.0, 1.0), row("b", 999.99, 1.0)];
        let table = Comparison::of(&before, &after, Tolerance::HERE).to_string();
        assert!(table.contains(" +25.00 % ") && table.contains("SLOWER"), "{table}");
        assert!(table.contains(" +0.00 % "), "{table}");
    }

    #[test]
    fn other_tools_widen_the_tolerance_and_another_cpu_ends_the_comparison() {
        let of = |cpu: &str, rustc: &str| {
            [(CPU, cpu), ("rustc", rustc)]
                .map(|(what, value)| Setting { what: what.to_owned(), value: value.to_owned() })
        };
        let between = |a: [Setting; 2], b: [Setting; 2]| Tolerance::between(&a, &b);
        assert_eq!(between(of("x", "1"), of("x", "1")), Some(Tolerance::HERE));
        assert_eq!(between(of("x", "1"), of("x", "2")), Some(Tolerance::ELSEWHERE));
        assert_eq!(between(of("x", "1"), of("y", "1")), None);
    }
}
