//! Writing results to stdout: JSON lines for programs, aligned columns for people.

use super::{Done, Failure};
use serde::Serialize;
use std::io::{self, BufWriter, StdoutLock, Write};

/// Stdout, buffered; what a command found, never what it says about itself.
pub(crate) struct Out {
    to: BufWriter<StdoutLock<'static>>,
    /// `--json` was given.
    pub(crate) json: bool,
}

impl Out {
    pub(crate) fn new(json: bool) -> Out {
        Out { to: BufWriter::with_capacity(64 << 10, io::stdout().lock()), json }
    }

    /// One JSON value on a line of its own.
    pub(crate) fn value(&mut self, value: &impl Serialize) -> Done {
        serde_json::to_writer(&mut self.to, value).map_err(|e| write_failed(e.into()))?;
        self.line("")
    }

    /// One line of text.
    pub(crate) fn line(&mut self, text: &str) -> Done {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Done {
        self.to.write_all(bytes).map_err(write_failed)
    }

    /// Rows under a heading, columns aligned. Numbers to the right.
    pub(crate) fn table<const N: usize>(&mut self, heading: [&str; N], rows: &[[String; N]]) -> Done {
        let widths: [usize; N] = std::array::from_fn(|c| {
            rows.iter().map(|r| r[c].chars().count()).chain([heading[c].chars().count()]).max().unwrap_or(0)
        });
        let numeric: [bool; N] = std::array::from_fn(|c| {
            rows.iter().all(|r| r[c].chars().all(|x| x.is_ascii_digit() || ".,%-".contains(x)))
        });
        let mut write = |cells: [&str; N]| -> Done {
            let mut line = String::new();
            for (c, cell) in cells.into_iter().enumerate() {
                let pad = " ".repeat(widths[c] - cell.chars().count());
                let gap = if c == 0 { "" } else { "  " };
                if numeric[c] {
                    line.extend([gap, &pad, cell]);
                } else {
                    line.extend([gap, cell, &pad]);
                }
            }
            self.to.write_all(line.trim_end().as_bytes()).map_err(write_failed)?;
            self.to.write_all(b"\n").map_err(write_failed)
        };
        write(heading)?;
        for row in rows {
            write(std::array::from_fn(|c| row[c].as_str()))?;
        }
        Ok(())
    }

    /// Hands everything written to the reader. Every command ends with it.
    pub(crate) fn done(&mut self) -> Done {
        self.to.flush().map_err(write_failed)
    }
}

fn write_failed(e: io::Error) -> Failure {
    if e.kind() == io::ErrorKind::BrokenPipe {
        return Failure::ReaderGone;
    }
    Failure::Failed(format!("cannot write to stdout: {e}"))
}

/// Bytes as people read them.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scaled = count as f64;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

/// Milliseconds since the epoch as people read them, UTC.
pub(crate) fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| format!("{ms} ms"), |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// `text` on one line, at most `most` characters of it.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    let mut line: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (8 << 20, "8.0 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(time(1_760_000_000_000), "2025-10-09 08:53:20");
        assert_eq!(clipped("a\nbcd", 3), "a b…");
        assert_eq!(clipped("abc", 3), "abc");
    }
}
