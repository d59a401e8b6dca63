//! What a process spent, as the kernel tells: CPU and memory, with its children's.

use std::{collections::HashMap, fs, io, time::Duration};

/// The kernel's clock ticks a second in `/proc`: 100 on every Linux that Rust runs on (`USER_HZ`).
const TICKS_PER_S: u64 = 100;

/// CPU used so far by a process and its descendants.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// Of each thread, in nanoseconds.
    threads: HashMap<u32, u64>,
    /// Of all, with threads that have ended, in nanoseconds but in steps of a tick.
    ticked_ns: u64,
}

impl Cpu {
    /// Reads it now.
    ///
    /// # Errors
    /// When there is no such process, or `/proc` is not to be read.
    pub fn of(pid: u32) -> io::Result<Cpu> {
        Cpu::of_all(&with_descendants(pid)?)
    }

    /// Of this process by itself, whatever it started.
    ///
    /// # Errors
    /// When `/proc` is not to be read.
    pub fn of_myself() -> io::Result<Cpu> {
        Cpu::of_all(&[std::process::id()])
    }

    fn of_all(pids: &[u32]) -> io::Result<Cpu> {
        let mut cpu = Cpu::default();
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            cpu.ticked_ns += ticks(&stat).unwrap_or(0) * (1_000_000_000 / TICKS_PER_S);
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let task = task?;
                // Nanoseconds on a CPU, then waiting, then turns. A thread that has just ended has none.
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let ns = text.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok());
                let tid = task.file_name().to_str().and_then(|tid| tid.parse().ok());
                if let (Some(tid), Some(ns)) = (tid, ns) {
                    cpu.threads.insert(tid, ns);
                }
            }
        }
        Ok(cpu)
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(&self, before: &Cpu) -> Duration {
        let of = |(tid, ns): (&u32, &u64)| ns.saturating_sub(before.threads.get(tid).copied().unwrap_or(0));
        let fine: u64 = self.threads.iter().map(of).sum();
        // The ticks know of threads that have ended meanwhile, and of nothing shorter than a tick: they count where
        // they say more than their own error, one tick at each end.
        let coarse = self.ticked_ns.saturating_sub(before.ticked_ns);
        Duration::from_nanos(fine.max(coarse.saturating_sub(2_000_000_000 / TICKS_PER_S)))
    }
}

/// The user and system time of `/proc/PID/stat`: fields 14 and 15, and the name in parentheses may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// A process and all that it started, as far as they still run: servers with workers are one server.
fn with_descendants(pid: u32) -> io::Result<Vec<u32>> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            all.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    Ok(all)
}

/// The memory of a process and its descendants, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its own, without files mapped into it.
    pub anonymous: u64,
    /// All that is in memory, pages of mapped files included.
    pub resident: u64,
}

impl Memory {
    /// Reads it now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> io::Result<Memory> {
        let mut memory = Memory::default();
        for pid in with_descendants(pid)? {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            memory.anonymous += kib(&status, "RssAnon:") * 1024;
            memory.resident += kib(&status, "VmRSS:") * 1024;
        }
        Ok(memory)
    }
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Bytes that a process has written, to files, pipes and sockets.
#[must_use]
pub fn bytes_written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_cpu_of_threads_that_ended_is_not_lost() {
        let me = std::process::id();
        let before = Cpu::of(me).expect("my own");
        let burn = || {
            let until = Instant::now() + Duration::from_millis(200);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            super::super::parse::thread_cpu_s()
        };
        let burnt = std::thread::spawn(burn).join().expect("burnt");
        let used = Cpu::of(me).expect("my own").since(&before).as_secs_f64();
        assert!(used > burnt - 0.05, "{used} of {burnt}");
    }

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(kib("Name: x\nVmRSS:\t  20 kB\nRssAnon:\t 7 kB\n", "RssAnon:"), 7);
        let memory = Memory::of(std::process::id()).expect("my own");
        assert!(memory.anonymous > 0 && memory.resident >= memory.anonymous);
        assert!(Cpu::of(u32::MAX).is_err());
    }
}
