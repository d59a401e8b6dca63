//! What became of each step: said when it ends, and again in the table at the end.
//!
//! # Invariants
//! * The last line is `N passed, M failed`, with `, K skipped` where steps were left out.
//! * What a passed step could not check is named below the table.

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How a step ended.
pub(crate) enum Outcome {
    /// All good, save for what these notes name as not checked.
    Passed(Vec<String>),
    /// Why not.
    Failed(String),
    /// Not run, as told on the command line.
    LeftOut,
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// The steps so far.
pub(crate) struct Report {
    rows: Vec<Row>,
    began: Instant,
    step_began: Instant,
}

impl Default for Report {
    fn default() -> Report {
        Report { rows: Vec::new(), began: Instant::now(), step_began: Instant::now() }
    }
}

impl Report {
    /// Announces a step.
    pub(crate) fn start(&mut self, name: &str, about: &str) {
        self.step_began = Instant::now();
        println!("\n== {name}: {about}");
    }

    /// Records how a step ended.
    pub(crate) fn add(&mut self, name: &'static str, outcome: Outcome) {
        let ran = !matches!(outcome, Outcome::LeftOut);
        let took = if ran { self.step_began.elapsed() } else { Duration::ZERO };
        match &outcome {
            Outcome::Passed(_) => println!("== {name}: passed in {:.1} s", took.as_secs_f64()),
            Outcome::Failed(why) => println!("== {name}: FAILED after {:.1} s: {why}", took.as_secs_f64()),
            Outcome::LeftOut => {} // said at the end, where it is read
        }
        self.rows.push(Row { name, outcome, took });
        self.step_began = Instant::now();
    }

    /// Whether that step ran and failed.
    pub(crate) fn failed(&self, name: &str) -> bool {
        self.rows.iter().any(|row| row.name == name && matches!(row.outcome, Outcome::Failed(_)))
    }

    /// Prints the table and the closing line.
    pub(crate) fn close(self) -> ExitCode {
        println!("\n{:14} {:9} {:>8}", "step", "result", "seconds");
        let (mut passed, mut failed, mut left_out, mut notes) = (0, 0, Vec::new(), Vec::new());
        for Row { name, outcome, took } in &self.rows {
            let result = match outcome {
                Outcome::Passed(unchecked) => {
                    passed += 1;
                    notes.extend(unchecked.iter().map(|note| format!("NOT CHECKED in {name}: {note}")));
                    "passed"
                }
                Outcome::Failed(why) => {
                    failed += 1;
                    notes.push(format!("FAILED: {name}: {why}"));
                    "FAILED"
                }
                Outcome::LeftOut => {
                    left_out.push(*name);
                    "left out"
                }
            };
            println!("{name:14} {result:9} {:8.1}", took.as_secs_f64());
        }
        println!("{:14} {:9} {:8.1}\n", "all", "", self.began.elapsed().as_secs_f64());
        notes.iter().for_each(|note| println!("{note}"));
        if !left_out.is_empty() {
            println!("LEFT OUT, as told on the command line: {}", left_out.join(", "));
        }
        let skipped =
            if left_out.is_empty() { String::new() } else { format!(", {} skipped", left_out.len()) };
        println!("\n{passed} passed, {failed} failed{skipped}");
        if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
