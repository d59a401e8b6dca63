//! The baseline as a file: a line for each benchmark, and above them what the counts depend on.
//!
//! ```text
//! # a comment
//! with rustc: rustc 1.95.0 (59807616e 2026-04-14)
//! scan/json/1    event    18654.2    0.00
//! ```
//! Columns are the benchmark, its unit, instructions and allocations per unit.

use std::fmt;

/// The setting without which counts cannot be compared at all.
pub(crate) const CPU: &str = "cpu";

const ABOUT: &str = "\
# What the hot paths cost: instructions and allocations per unit, as callgrind counts them.
# Written by `cargo xtask instructions --record`, compared by `cargo xtask instructions`.
";

/// What a unit of work costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// Instructions of all threads of the process.
    pub(crate) instructions: f64,
    /// Calls of the allocator that ask for memory.
    pub(crate) allocations: f64,
}

/// A benchmark and its cost.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) cost: Cost,
}

/// Something that counts depend on beside the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) what: String,
    pub(crate) value: String,
}

/// All costs, and what they were counted with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) settings: Vec<Setting>,
    pub(crate) rows: Vec<Row>,
}

impl Baseline {
    /// Reads what [`Baseline`]'s `Display` writes.
    pub(crate) fn parse(text: &str) -> Result<Baseline, String> {
        let mut baseline = Baseline { settings: Vec::new(), rows: Vec::new() };
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || {
                format!(
                    "line {number} is {line:?}: it should be `with WHAT: VALUE`, or a benchmark, its unit, \
                     instructions and allocations"
                )
            };
            if let Some(setting) = line.strip_prefix("with ") {
                let (what, value) = setting.split_once(": ").ok_or_else(wrong)?;
                baseline.settings.push(Setting { what: what.to_owned(), value: value.to_owned() });
                continue;
            }
            let columns: Vec<_> = line.split_whitespace().collect();
            let [name, unit, instructions, allocations] = columns[..] else { return Err(wrong()) };
            let cost = |text: &str| text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
            let (Some(instructions), Some(allocations)) = (cost(instructions), cost(allocations)) else {
                return Err(wrong());
            };
            if baseline.rows.iter().any(|row| row.name == name) {
                return Err(format!("line {number} has {name} a second time"));
            }
            let cost = Cost { instructions, allocations };
            baseline.rows.push(Row { name: name.to_owned(), unit: unit.to_owned(), cost });
        }
        Ok(baseline)
    }

    /// These rows replaced by the newer ones of the same names, and further ones added.
    pub(crate) fn with(mut self, newer: Baseline) -> Result<Baseline, String> {
        let differs = differences(&self.settings, &newer.settings);
        if !differs.is_empty() {
            return Err(format!("a part cannot be recorded anew, only all: {differs}"));
        }
        for row in newer.rows {
            match self.rows.iter_mut().find(|old| old.name == row.name) {
                Some(old) => *old = row,
                None => self.rows.push(row),
            }
        }
        Ok(self)
    }
}

/// What differs between two sets of settings, in words; empty if nothing does.
pub(crate) fn differences(recorded: &[Setting], now: &[Setting]) -> String {
    let differs = |setting: &&Setting| value(recorded, &setting.what) != Some(&setting.value);
    let words = now.iter().filter(differs).map(|setting| {
        let before = value(recorded, &setting.what).unwrap_or("nothing said of it");
        format!("{} was {before} when the baseline was recorded, and is {} here", setting.what, setting.value)
    });
    words.collect::<Vec<_>>().join("; ")
}

/// The value of one setting.
pub(crate) fn value<'a>(settings: &'a [Setting], what: &str) -> Option<&'a str> {
    settings.iter().find(|setting| setting.what == what).map(|setting| setting.value.as_str())
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{ABOUT}")?;
        for Setting { what, value } in &self.settings {
            writeln!(f, "with {what}: {value}")?;
        }
        writeln!(f, "\n# {:22} {:8} {:>12} {:>12}", "benchmark", "unit", "instructions", "allocations")?;
        for Row { name, unit, cost } in &self.rows {
            writeln!(f, "{name:24} {unit:8} {:12.1} {:12.2}", cost.instructions, cost.allocations)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# anything

with rustc: rustc 1.95.0 (59807616e)
scan/json/1   event   18654.2  0.00
http/json/1   request 51344.0  12.5
";

    #[test]
    fn what_is_written_is_read_back() {
        let baseline = Baseline::parse(TEXT).expect("well formed");
        assert_eq!(baseline.rows[1].cost, Cost { instructions: 51344.0, allocations: 12.5 });
        assert_eq!(value(&baseline.settings, "rustc"), Some("rustc 1.95.0 (59807616e)"));
        assert_eq!(Baseline::parse(&baseline.to_string()), Ok(baseline));
    }

    #[test]
    fn a_line_that_cannot_be_is_named() {
        for wrong in ["with rustc", "scan/json/1 event 5", "a b c 0", "a b -1 0", "a b NaN 0", "a b 1 2 3"] {
            let why = Baseline::parse(&format!("# first\n{wrong}\n")).expect_err(wrong);
            assert!(why.contains("line 2"), "{why}");
        }
        let twice = Baseline::parse("a event 1 0\na event 1 0\n").expect_err("twice");
        assert!(twice.contains("a second time"), "{twice}");
    }

    #[test]
    fn a_part_is_recorded_anew_only_with_the_same_tools() {
        let old = Baseline::parse(TEXT).expect("well formed");
        let newer =
            Baseline::parse("with rustc: rustc 1.95.0 (59807616e)\nscan/json/1 event 7 0\nnew/one event 1 0")
                .expect("well formed");
        let both = old.clone().with(newer.clone()).expect("the same rustc");
        assert_eq!(
            both.rows.iter().map(|row| row.cost.instructions).collect::<Vec<_>>(),
            [7.0, 51344.0, 1.0]
        );
        let other = Baseline { settings: vec![], ..old };
        let why = other.with(newer).expect_err("another rustc");
        assert!(why.contains("rustc"), "{why}");
    }
}
