//! Listeners, limits and the collection endpoints, on hyper.
//!
//! One runtime per core, one acceptor that hands each connection to the least loaded of them. A request is
//! read within bounds, scanned, routed, handed to the log, and answered when its lane says that it is
//! durable.
//!
//! # Invariants
//! * An answer of success for anything to be stored is made from the log's proof: a [`Stored`].
//! * Every event is accounted for once, whether or not its sender waits for the answer.
//! * Nothing is unbounded: connections, heads, bodies, time, bytes in flight.
//! * Every answer made here carries CORS headers when the request names an origin.
//!
//! Answers follow the wire of Mixpanel, byte for byte where an SDK looks: see [`answer`].

pub mod address;
mod admin;
pub mod answer;
pub mod auth;
mod body;
mod collect;
mod collector;
mod config;
mod connection;
mod core;
pub mod cors;
mod counters;
mod descriptors;
mod group;
mod intake;
mod io;
mod link;
mod listener;
mod lookup;
mod metrics;
mod mount;
mod outcome;
pub mod paths;
pub mod proxy_protocol;
mod queries;
mod remote;
mod replay;
mod request;
mod serve;
mod stored;
mod verdicts;

pub use address::TrustedProxies;
pub use auth::{AuthError, Claim, Identity, Proof};
pub use body::{Body, StreamError};
pub use collector::{Collector, Parts};
pub use config::{DrainConfig, HttpConfig, HttpConfigError, HttpLimits, ProxyProtocol, Timeouts};
pub use listener::{ListenError, Listeners};
pub use mount::{BodyError, Context, Mount, MountFuture, Place};
pub use paths::{PathError, PathTable};
pub use queries::QueryCounters;
pub use serve::{Running, Stopped, serve};
pub use stored::Stored;
