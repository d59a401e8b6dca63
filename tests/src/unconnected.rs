//! Programs that may listen and answer, and end the moment they would call anybody.
//!
//! # Invariants
//! * The kernel asks before each system call, by a filter (seccomp) that the program inherits and cannot take off: no
//!   connection is too short to be seen, and none is made.
//! * The filter is put on a thread that starts the program and ends; the tests themselves go on without.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Starts a program that ends by `SIGSYS` if it opens a connection, or sends a datagram.
///
/// # Errors
/// If it cannot be started so.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let filter = filter().map_err(io::Error::other)?;
    let started = thread::scope(|scope| {
        let starting = scope.spawn(|| {
            seccompiler::apply_filter(&filter).map_err(io::Error::other)?;
            command.spawn()
        });
        starting.join()
    });
    started.unwrap_or_else(|_| Err(io::Error::other("the thread that was to start it panicked")))
}

/// Whether a program that was started here ended because it called somebody.
pub fn has_called(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGSYS)
}

/// Everything goes but what reaches out.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let family = |family: libc::c_int| is(0, Len::Dword, Op::Eq, family);
    let kind = |kind: libc::c_int| is(1, Len::Dword, Op::MaskedEq(0xf), kind);
    let both = |a: SeccompCondition, b: SeccompCondition| SeccompRule::new(vec![a, b]);
    let mut sockets = vec![SeccompRule::new(vec![family(libc::AF_PACKET)?])?];
    for of in [libc::AF_INET, libc::AF_INET6] {
        for datagrams in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
            sockets.push(both(family(of)?, kind(datagrams)?)?);
        }
    }
    // A first segment with data connects, too.
    let fast_open = |at: u8| is(at, Len::Dword, Op::MaskedEq(0x2000_0000), 0x2000_0000);
    let rules = BTreeMap::from([
        (libc::SYS_connect, vec![]),
        (libc::SYS_io_uring_setup, vec![]),
        (libc::SYS_socket, sockets),
        (libc::SYS_sendto, vec![SeccompRule::new(vec![is(4, Len::Qword, Op::Ne, 0)?])?]),
        (libc::SYS_sendmsg, vec![SeccompRule::new(vec![fast_open(2)?])?]),
        (libc::SYS_sendmmsg, vec![SeccompRule::new(vec![fast_open(3)?])?]),
    ]);
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, machine)?.try_into()
}

fn is(
    argument: u8,
    length: Len,
    how: Op,
    value: libc::c_int,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, length, how, u64::from(value.cast_unsigned()))
}
