//! The threads that carry messages, one for each way: a mail server that takes its time delays no code for a phone.

use std::{
    io,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use forebay_control::{Channel, Content, Control, Message, Sending, chain};

use crate::{Gateway, Mailer, disk};

/// How often the outbox is asked: a query that an index answers.
const INTERVAL: Duration = Duration::from_millis(500);
/// How often it is looked whether events can be stored.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);
/// Messages taken up at once.
const AT_ONCE: usize = 20;
/// How long a stopping server waits for a message on its way. After that the message counts as not sent.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Says why events cannot be stored, if they cannot.
pub type Health = Box<dyn Fn() -> Option<String> + Send>;

/// A way, with what it takes to go it.
#[derive(Debug)]
enum Carrier {
    Mail(Mailer),
    Text(Gateway),
}

/// The running threads.
#[derive(Debug)]
pub struct Courier {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    stop: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Courier {
    /// Starts carrying what `control`'s outbox holds. That a disk fills up, and what `health` says, is told by mail to those
    /// who look after the server.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(
        control: &Arc<Control>,
        mailer: Option<Mailer>,
        gateway: Option<Gateway>,
        health: Health,
    ) -> io::Result<Courier> {
        let mut courier = Courier { threads: Vec::new() };
        if let Some(mailer) = mailer {
            courier.spawn("mail", control, Carrier::Mail(mailer), Some(health))?;
        }
        if let Some(gateway) = gateway {
            courier.spawn("texts", control, Carrier::Text(gateway), None)?;
        }
        Ok(courier)
    }

    fn spawn(
        &mut self,
        name: &str,
        control: &Arc<Control>,
        carrier: Carrier,
        health: Option<Health>,
    ) -> io::Result<()> {
        let (stop, stopped) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        let mut round = Round { control: Arc::clone(control), carrier, health, looked: None, failing: false };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while round.carry(&stopped) {}
            // Nobody may wait for it any more.
            let _ = ending.send(());
        })?;
        self.threads.push(Thread { stop, ended });
        Ok(())
    }

    /// Ends the threads, after the messages that are on their way, or soon. The others wait for the next start.
    pub fn stop(self) {
        let (stops, ends): (Vec<_>, Vec<_>) =
            self.threads.into_iter().map(|Thread { stop, ended }| (stop, ended)).unzip();
        drop(stops);
        let until = Instant::now() + STOP_WAIT;
        for ended in ends {
            if ended.recv_timeout(until.saturating_duration_since(Instant::now())).is_err() {
                tracing::warn!(
                    "a message was on its way for too long: it is sent again after the next start"
                );
            }
        }
    }
}

struct Round {
    control: Arc<Control>,
    carrier: Carrier,
    health: Option<Health>,
    looked: Option<Instant>,
    failing: bool,
}

impl Round {
    /// Carries what is due, then waits a moment; says whether to go on.
    fn carry(&mut self, stopped: &mpsc::Receiver<()>) -> bool {
        self.look_after_the_server();
        let channel = match self.carrier {
            Carrier::Mail(_) => Channel::Mail,
            Carrier::Text(_) => Channel::Text,
        };
        let due = self.control.due_messages(channel, AT_ONCE).inspect_err(|error| {
            // Once, not twice a second.
            if !self.failing {
                tracing::error!(error = chain(error), "the outbox cannot be read; messages wait");
            }
        });
        self.failing = due.is_err();
        for message in due.unwrap_or_default() {
            let sending = self.send(&message);
            if let Err(error) = self.control.carried(message.id, &sending) {
                // It stays in the outbox, and is sent once more.
                tracing::error!(
                    error = chain(&error),
                    message = message.id,
                    "what became of a message is not noted"
                );
            }
            if stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                return false;
            }
        }
        stopped.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout)
    }

    fn send(&self, message: &Message) -> Sending {
        match (&message.content, &self.carrier) {
            (Content::Mail { subject, text }, Carrier::Mail(mailer)) => {
                mailer.send(&message.recipient, subject, text)
            }
            (Content::Code(code), Carrier::Text(gateway)) => gateway.send(&message.recipient, code),
            _ => Sending::Refused("it goes another way".to_owned()),
        }
    }

    fn look_after_the_server(&mut self) {
        let Some(health) = &self.health else { return };
        if self.looked.is_some_and(|at| at.elapsed() < HEALTH_INTERVAL) {
            return;
        }
        self.looked = Some(Instant::now());
        let low = disk::free(self.control.dir()).filter(|(percent, _)| *percent < disk::LOW_PERCENT);
        let unable = health();
        if low.is_none() && unable.is_none() {
            return;
        }
        if let Err(error) = self.control.tell_operators(low, unable.as_deref()) {
            tracing::warn!(
                error = chain(&error),
                "those who look after the server could not be told of its state"
            );
        }
    }
}
