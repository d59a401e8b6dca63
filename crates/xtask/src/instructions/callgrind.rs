//! Runs one benchmark under callgrind and reads what it counted.
//!
//! The benchmark marks what counts by calling two functions of its own: callgrind forgets what it has when the first
//! is entered, and writes a profile when the second is. So the profile holds all threads and nothing of the set-up.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::baseline::Cost;
use crate::shell::{capture, capture_unshown, command};

/// The longest takes some 10 s on two cores that are not busy.
const LIMIT: Duration = Duration::from_secs(600);
/// Entered where memory is asked for. `Vec` and the like go through these, with the system's allocator.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// Functions that look again and again whether there is something to do: how often depends on the other threads, and
/// is no work.
const WAITING: [&str; 3] = [
    "crossbeam_channel::flavors::array::Channel<T>::start_recv",
    "crossbeam_channel::flavors::array::Channel<T>::recv",
    "sched_yield",
];

/// The program with the benchmarks, and where profiles go.
pub(crate) struct Bench {
    pub(crate) program: PathBuf,
    pub(crate) home: PathBuf,
}

impl Bench {
    /// The names of the benchmarks, and what each counts per.
    pub(crate) fn list(&self) -> Result<Vec<(String, String)>, String> {
        let mut list = command(&self.program.display().to_string());
        list.arg("--list");
        let (good, output) = capture(list, Duration::from_secs(60));
        let names = output.lines().filter_map(|line| line.split_once(' '));
        let names: Vec<_> = names.map(|(name, unit)| (name.to_owned(), unit.to_owned())).collect();
        if good && !names.is_empty() {
            Ok(names)
        } else {
            Err(format!("cannot list the benchmarks: {output}"))
        }
    }

    /// Counts one benchmark, with so many needless steps in each unit.
    pub(crate) fn count(&self, name: &str, waste: u64) -> Result<Cost, String> {
        let out = self.home.join(format!("{}.out", name.replace('/', "_")));
        let part = out.with_extension("out.1");
        remove(&part)?;
        let mut run = command("valgrind --tool=callgrind");
        run.args(["--zero-before=*counting_begins*", "--dump-before=*counting_ends*"]);
        run.arg(format!("--callgrind-out-file={}", out.display())).arg(&self.program).arg(name);
        if waste > 0 {
            run.args(["--waste", &waste.to_string()]);
        }
        run.env("TMPDIR", &self.home);
        let (good, output) = capture_unshown(run, LIMIT);
        if !good {
            return Err(format!("{name} failed under callgrind: {output}"));
        }
        let units = output.lines().find_map(|line| line.strip_prefix("counted ")?.trim().parse::<u32>().ok());
        let units =
            units.filter(|units| *units > 0).ok_or_else(|| format!("{name} counted nothing: {output}"))?;
        let profile = fs::read_to_string(&part).map_err(|e| {
            format!(
                "no profile of {name} in {}: {e}; did callgrind see counting_begins and counting_ends?",
                part.display()
            )
        })?;
        cost(&profile, f64::from(units))
            .ok_or_else(|| format!("{} is no profile of callgrind", part.display()))
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {e}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Reads a profile in callgrind's format: <https://valgrind.org/docs/manual/cl-format.html>.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn cost(profile: &str, units: f64) -> Option<Cost> {
    let (mut instructions, mut waiting, mut allocations) = (None, 0_u64, 0_u64);
    // A function is written with its name the first time, and by its number after that.
    let mut names: HashMap<&str, &str> = HashMap::new();
    let (mut function, mut called) = ("", "");
    let mut of_a_call = false;
    for line in profile.lines() {
        if let Some(total) = line.strip_prefix("totals: ") {
            instructions = total.trim().parse::<u64>().ok();
        } else if let Some(text) = line.strip_prefix("fn=") {
            function = named(text, &mut names)?;
        } else if let Some(text) = line.strip_prefix("cfn=") {
            called = named(text, &mut names)?;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if ALLOCATORS.contains(&called) {
                allocations += calls.split(' ').next()?.parse::<u64>().ok()?;
            }
            // The next line has what the called function cost, which is counted there.
            of_a_call = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            let is_own = !std::mem::take(&mut of_a_call);
            if is_own && WAITING.contains(&function) {
                waiting += line.split(' ').nth(1)?.parse::<u64>().ok()?;
            }
        }
    }
    let instructions = instructions?.checked_sub(waiting)?;
    Some(Cost { instructions: instructions as f64 / units, allocations: allocations as f64 / units })
}

/// The name in `(number) name`, or the one that the number had before.
fn named<'a>(text: &'a str, names: &mut HashMap<&'a str, &'a str>) -> Option<&'a str> {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            Some(name)
        }
        None => names.get(text).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
version: 1
events: Ir
ob=(1) /lib/libc.so.6
fl=(1) ???
fn=(7) malloc
0 900
fn=(2) scan
16 400
cfi=(9) alloc.rs
cfn=(7)
calls=3 33
16 500
cfn=(8) realloc
calls=2 12
20 70
fn=(3) other
cfn=(4) malloc_usable_size
calls=50 1
1 1
cfn=(7)
calls=5 33
16 500
fn=(5) sched_yield
+3 100
cfn=(6) syscall
calls=1 1
* 77
totals: 2400
";

    #[test]
    fn totals_without_waiting_and_calls_of_the_allocator_are_read() {
        assert_eq!(cost(PROFILE, 10.0), Some(Cost { instructions: 230.0, allocations: 1.0 }));
    }

    #[test]
    fn what_is_no_profile_has_no_cost() {
        for wrong in ["", "events: Ir\n", "cfn=(9)\ncalls=1 1\ntotals: 5\n", "totals: many\n"] {
            assert_eq!(cost(wrong, 1.0), None, "{wrong:?}");
        }
    }
}
