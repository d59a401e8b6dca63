//! A timer finer than a millisecond: tokio's own wakes on whole milliseconds, in which dozens of requests are due.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A kernel timer that a runtime waits for as for a socket.
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// A timer of the current runtime.
    pub(crate) fn new() -> io::Result<Timer> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "the safe one; it is deprecated for types whose descriptor may change, and an \
                                       OwnedFd's cannot"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Timer(fd))
    }

    /// Waits so long, and as much longer as the kernel takes to tell.
    pub(crate) async fn sleep(&self, time: Duration) -> io::Result<()> {
        // A timer set to nothing would never ring.
        let time = time.max(Duration::from_nanos(1));
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let set = Itimerspec { it_interval: once, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &set)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut rings = [0; 8];
            if let Ok(read) = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut rings)?)) {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_sleep_is_never_shorter_than_asked() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let timer = Timer::new().expect("a timer");
            for us in [0, 20, 300, 3000] {
                let started = Instant::now();
                timer.sleep(Duration::from_micros(us)).await.expect("slept");
                assert!(started.elapsed() >= Duration::from_micros(us), "{us} µs");
            }
        });
    }
}
