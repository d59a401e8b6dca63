//! Asking an expression of one event.
//!
//! # Invariants
//! * No text is made that is longer than [`TEXT_BYTES_MAX`]; beyond that, work is linear in what the values hold, for
//!   each of the expression's terms.

use std::{borrow::Cow, error::Error, fmt};

use memchr::memmem;

use crate::{
    Expression, Kind, Value,
    tree::{Function, Node, Operator, Part},
    value::moment_text,
};

/// The longest text that `+` makes; what would be longer is undefined.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// A value is there where only true, false or nothing can be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The column of the operand, from 1.
    pub column: usize,
    /// What it is.
    pub kind: Kind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { column, kind } = self;
        write!(
            f,
            "column {column}: this is {kind} in an event, neither true nor false: compare it, or write boolean(\u{2026})"
        )
    }
}

impl Error for Fault {}

impl Expression {
    /// Whether an event meets it. `values` are those of [`Expression::names`], in order; what is missing is undefined.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn holds(&self, values: &[Value<'_>]) -> Result<bool, Fault> {
        truth(&evaluate(&self.root, values)?, 1)
    }
}

/// What is not there is false.
fn truth(value: &Value<'_>, column: usize) -> Result<bool, Fault> {
    match value {
        Value::Boolean(yes) => Ok(*yes),
        Value::Undefined | Value::Null => Ok(false),
        other => Err(Fault { column, kind: other.kind() }),
    }
}

pub(crate) fn evaluate<'v>(node: &'v Node, values: &'v [Value<'v>]) -> Result<Value<'v>, Fault> {
    Ok(match node {
        Node::Literal(value) => value.lent(),
        Node::List(items) => Value::List(items.clone()),
        Node::Property(place) => values.get(*place).map_or(Value::Undefined, Value::lent),
        Node::Negate(of) => match evaluate(of, values)? {
            Value::Number(number) => Value::Number(-number),
            _ => Value::Undefined,
        },
        Node::Not(of) => match evaluate(of, values)? {
            Value::Boolean(yes) => Value::Boolean(!yes),
            Value::Undefined | Value::Null => Value::Boolean(true),
            _ => Value::Undefined,
        },
        Node::All(parts) => Value::Boolean(!found(parts, values, false)?),
        Node::Any(parts) => Value::Boolean(found(parts, values, true)?),
        Node::Binary(operator, left, right) => {
            binary(*operator, &evaluate(left, values)?, &evaluate(right, values)?)
        }
        Node::Call(function, of) => {
            let first = of.first().map_or(Ok(Value::Undefined), |node| evaluate(node, values))?;
            match of.get(1) {
                None => call(*function, first),
                Some(second) => has_prefix(&first, &evaluate(second, values)?),
            }
        }
    })
}

/// Is one of these so? Those behind it are not looked at.
fn found(parts: &[Part], values: &[Value<'_>], so: bool) -> Result<bool, Fault> {
    for part in parts {
        if truth(&evaluate(&part.node, values)?, part.column)? == so {
            return Ok(true);
        }
    }
    Ok(false)
}

fn binary<'v>(operator: Operator, left: &Value<'v>, right: &Value<'v>) -> Value<'v> {
    let ordered = |is: fn(std::cmp::Ordering) -> bool| {
        order(left, right).map_or(Value::Undefined, |order| Value::Boolean(is(order)))
    };
    match operator {
        Operator::Equal => Value::Boolean(equal(left, right)),
        Operator::Unequal => Value::Boolean(!equal(left, right)),
        Operator::Less => ordered(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => ordered(std::cmp::Ordering::is_le),
        Operator::Greater => ordered(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(std::cmp::Ordering::is_ge),
        Operator::In => within(left, right),
        Operator::Add => match (left, right) {
            (Value::Text(a), Value::Text(b)) if a.len() + b.len() <= TEXT_BYTES_MAX => {
                Value::Text(Cow::Owned(format!("{a}{b}")))
            }
            _ => number(left, right, |a, b| a + b),
        },
        Operator::Subtract => number(left, right, |a, b| a - b),
        Operator::Multiply => number(left, right, |a, b| a * b),
        // By zero: not finite.
        Operator::Divide => number(left, right, |a, b| a / b),
        // Rust's, as the language's, has the sign of what is divided.
        Operator::Remainder => number(left, right, |a, b| a % b),
    }
}

/// What is no number, or too large for one, is undefined.
fn number<'v>(left: &Value<'_>, right: &Value<'_>, of: impl Fn(f64, f64) -> f64) -> Value<'v> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => finite(of(*a, *b)),
        _ => Value::Undefined,
    }
}

fn finite<'v>(number: f64) -> Value<'v> {
    if number.is_finite() { Value::Number(number) } else { Value::Undefined }
}

/// A moment is equal to what names the same one; else only values of one kind are.
fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Object, _) | (_, Value::Object) => false,
        (Value::Datetime(_), other) | (other, Value::Datetime(_))
            if matches!(other, Value::Text(_) | Value::Number(_)) =>
        {
            left.moment_ms() == right.moment_ms()
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (left, right) => left == right,
    }
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Datetime(_), _) | (_, Value::Datetime(_)) => Some(left.moment_ms()?.cmp(&right.moment_ms()?)),
        _ => None,
    }
}

fn within<'v>(left: &Value<'_>, right: &Value<'_>) -> Value<'v> {
    match (left, right) {
        (Value::Text(part), Value::Text(whole)) => {
            Value::Boolean(memmem::find(whole.as_bytes(), part.as_bytes()).is_some())
        }
        (Value::List(_) | Value::Object, Value::List(_)) => Value::Undefined,
        (one, Value::List(items)) => Value::Boolean(items.iter().any(|item| equal(one, item))),
        _ => Value::Undefined,
    }
}

fn has_prefix<'v>(text: &Value<'_>, prefix: &Value<'_>) -> Value<'v> {
    match (text, prefix) {
        (Value::Text(text), Value::Text(prefix)) => Value::Boolean(text.starts_with(&**prefix)),
        _ => Value::Undefined,
    }
}

/// A function of one value.
fn call(function: Function, of: Value<'_>) -> Value<'_> {
    match (function, of) {
        (Function::Defined, of) => Value::Boolean(!matches!(of, Value::Undefined | Value::Null)),
        (Function::Boolean, of) => Value::Boolean(match of {
            Value::Undefined | Value::Null => false,
            Value::Boolean(yes) => yes,
            Value::Number(number) => number != 0.0,
            Value::Text(text) => !matches!(&*text, "" | "false"),
            Value::Datetime(_) | Value::List(_) | Value::Object => true,
        }),
        (Function::Number, of) => match of {
            Value::Number(_) => of,
            Value::Boolean(yes) => Value::Number(f64::from(u8::from(yes))),
            Value::Text(text) => decimal(text.trim()).map_or(Value::Undefined, finite),
            #[expect(
                clippy::cast_precision_loss,
                reason = "within the years that can be named it loses nothing"
            )]
            Value::Datetime(ms) => Value::Number(ms as f64 / 1000.0),
            _ => Value::Undefined,
        },
        (Function::String, of) => match of {
            Value::Text(_) | Value::Null => of,
            Value::Boolean(yes) => Value::text(if yes { "true" } else { "false" }),
            Value::Number(number) => Value::Text(Cow::Owned(number.to_string())),
            Value::Datetime(ms) => moment_text(ms).map_or(Value::Undefined, |text| Value::Text(text.into())),
            _ => Value::Undefined,
        },
        (Function::Datetime, of) => of.moment_ms().map_or(Value::Undefined, Value::Datetime),
        (Function::Floor, Value::Number(number)) => Value::Number(number.floor()),
        (Function::Round, Value::Number(number)) => Value::Number(number.round()),
        (Function::Ceil, Value::Number(number)) => Value::Number(number.ceil()),
        (Function::Floor | Function::Round | Function::Ceil | Function::HasPrefix, _) => Value::Undefined,
    }
}

/// A number as decimals are written; not `inf` and `nan`, which are words.
fn decimal(text: &str) -> Option<f64> {
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    text.bytes().all(plain).then(|| text.parse().ok()).flatten()
}
