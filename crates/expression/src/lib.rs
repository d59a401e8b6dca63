//! Segmentation expressions: the language in which a query's `where` says which events it wants.
//!
//! ```
//! use forebay_expression::{Expression, Value};
//!
//! let wanted = Expression::parse(r#"properties["plan"] == "pro" and properties["seats"] > 5"#).unwrap();
//! let event = [Value::text("pro"), Value::Number(7.0)]; // in the order of `wanted.names()`
//! assert_eq!(wanted.holds(&event), Ok(true));
//! ```
//!
//! An expression is read once, into a tree whose every part has a kind: what can never be true or false where that is
//! needed is refused then, with the column. What a property holds shows only when an event is looked at: see [`Fault`].
//!
//! # Invariants
//! * Reading and evaluating are bounded whatever the text and the event: see the `…_MAX` constants.
//! * What [`Expression`]'s `Display` writes is read back as the same tree.
//! * Nothing here panics on a text or a value.

mod evaluate;
mod kind;
mod parse;
mod print;
#[cfg(test)]
mod proptests;
#[cfg(test)]
mod semantics_tests;
mod token;
mod tree;
mod value;

pub use evaluate::{Fault, TEXT_BYTES_MAX};
pub use kind::Kind;
pub use parse::{DEPTH_MAX, LENGTH_MAX, LIST_LEN_MAX, NAMES_MAX, ParseError, TERMS_MAX};
pub use tree::{Expression, Name, Source};
pub use value::Value;
