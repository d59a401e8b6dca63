//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside the connections: segments, the registry, listeners.
const OWN_FILES: u64 = 256;

/// Raises the soft limit on open files to the hard one, and warns if that is too low for `connections`.
pub(crate) fn raise_limit(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(e) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(error = %e, limit = ?limit.current, "the limit on open files cannot be raised");
        }
    }
    let wanted = (connections as u64).saturating_add(OWN_FILES);
    if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|&limit| limit < wanted) {
        tracing::warn!(
            limit,
            wanted,
            "fewer files may be open than http.limits.connections_max needs: raise LimitNOFILE or `ulimit -n`"
        );
    }
}
