//! The web console, server-rendered, and the calls of `/api/app`.
//!
//! Both are faces of the same rules, those of `forebay-control`: what a page may do, a call may, and the command line.
//! Every form works without scripts; the scripts there are only help.
//!
//! # Invariants
//! * Every path, method and permission stands in one list, [`ROUTES`]; nothing else dispatches.
//! * What is put into a page is escaped by its type; the few pieces of markup made in code take numbers only.
//! * No secret stands in an address, a log line or an error; the two links that hold one (setting up, invitations) work
//!   once.
//! * Nothing runs on the cores that collect but the hand-over.

mod access;
mod answer;
mod api;
mod assets;
mod chart;
mod form;
mod frame;
mod half;
mod moment;
mod mount;
mod page;
mod recent;
mod refusal;
mod route;
mod said;
mod session;
mod site;
mod stream;
mod table;
mod times;
mod visit;
mod when;

pub use mount::Console;
pub use route::{Face, Needs, Route, Verb};
pub use site::ConsoleConfig;
pub use table::ROUTES;
