//! File descriptors: every connection takes one, and systems start programs with few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server needs beside its connections: segments, the control store, listeners, standard streams.
const OTHERS: u64 = 512;

/// Raises this process's limit of open files as far as it may go, and says so if that is not far enough.
pub(crate) fn raise(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
    // None is no limit at all.
    if let Some(files) = getrlimit(Resource::Nofile).current
        && files < connections_max as u64 + OTHERS
    {
        tracing::warn!(
            files,
            connections_max,
            "the limit of open files is lower than connections_max needs; raise it (systemd: LimitNOFILE, docker: \
             --ulimit nofile) or lower http.limits.connections_max"
        );
    }
}
