//! File descriptors, of which every connection takes one here and one in the server, and space on the disk.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Error;

/// What is open beside connections: the children's pipes, the log's files.
const OTHERS: u64 = 512;

/// The least free space of the file system that data directories are made on.
const FREE_BYTES_MIN: u64 = 2 << 30;

/// Raises the limit of open files as far as this process may; children inherit it. A refusal shows when there are too
/// few.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Raises the limit, and says so where that is too little for this many connections.
///
/// # Errors
/// [`Error::Options`] with the limit and how to raise it.
pub fn descriptors_for(connections: usize) -> Result<(), Error> {
    raise_descriptors();
    check(connections, getrlimit(Resource::Nofile).current)
}

/// Says where too little space is free.
///
/// # Errors
/// [`Error::Options`] with what is free.
pub fn space_in(scratch: &Path) -> Result<(), Error> {
    let space = rustix::fs::statvfs(scratch).map_err(std::io::Error::from);
    let space = space.map_err(Error::io(format!("ask for the free space of {}", scratch.display())))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free >= FREE_BYTES_MIN {
        return Ok(());
    }
    Err(Error::Options(format!(
        "only {} MiB are free in {}: measure elsewhere, or fewer or shorter rounds",
        free >> 20,
        scratch.display()
    )))
}

fn check(connections: usize, limit: Option<u64>) -> Result<(), Error> {
    match limit {
        Some(limit) if limit < connections as u64 + OTHERS => Err(Error::Options(format!(
            "{connections} connections need {} open files in the generator and in each server, and the limit is {limit}: \
             raise it (ulimit -Hn, systemd: LimitNOFILE, docker: --ulimit nofile) or take fewer",
            connections as u64 + OTHERS
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_descriptors_are_told_with_the_number_needed() {
        assert!(check(10_000, Some(20_000)).is_ok() && check(10_000, None).is_ok());
        let error = check(10_000, Some(4096)).expect_err("too few").to_string();
        assert!(error.contains("10512") && error.contains("4096"), "{error}");
    }
}
