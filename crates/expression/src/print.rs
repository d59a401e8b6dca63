//! Writing an expression, with as few brackets as it needs: what is written is read back as the same.

use std::fmt;

use crate::{
    Expression, Value,
    tree::{Binding, Node},
};

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &self.root, Binding::Any)
    }
}

impl Expression {
    /// Writes `node` where something is expected that binds at least so tightly.
    fn write(&self, f: &mut fmt::Formatter<'_>, node: &Node, least: Binding) -> fmt::Result {
        let binding = binding(node);
        if binding < least {
            f.write_str("(")?;
            self.write(f, node, Binding::Any)?;
            return f.write_str(")");
        }
        match node {
            Node::Literal(value) => write_value(f, value),
            Node::List(items) => {
                f.write_str("[")?;
                for (nth, item) in items.iter().enumerate() {
                    f.write_str(if nth == 0 { "" } else { ", " })?;
                    write_value(f, item)?;
                }
                f.write_str("]")
            }
            Node::Property(place) => match self.names.get(*place) {
                Some(name) => {
                    write!(f, "{}[", name.source.as_str())?;
                    write_text(f, &name.name)?;
                    f.write_str("]")
                }
                None => Err(fmt::Error),
            },
            Node::Negate(of) => {
                f.write_str("-")?;
                self.write(f, of, Binding::Negation)
            }
            Node::Not(of) => {
                f.write_str("not ")?;
                self.write(f, of, Binding::Not)
            }
            Node::All(parts) | Node::Any(parts) => {
                let word = if binding == Binding::All { " and " } else { " or " };
                for (nth, part) in parts.iter().enumerate() {
                    f.write_str(if nth == 0 { "" } else { word })?;
                    self.write(f, &part.node, crate::parse::tighter(binding))?;
                }
                Ok(())
            }
            Node::Binary(operator, left, right) => {
                self.write(f, left, binding)?;
                write!(f, " {} ", operator.as_str())?;
                self.write(f, right, crate::parse::tighter(binding))
            }
            Node::Call(function, of) => {
                write!(f, "{}(", function.as_str())?;
                for (nth, argument) in of.iter().enumerate() {
                    f.write_str(if nth == 0 { "" } else { ", " })?;
                    self.write(f, argument, Binding::Any)?;
                }
                f.write_str(")")
            }
        }
    }
}

fn binding(node: &Node) -> Binding {
    match node {
        Node::Literal(Value::Number(number)) if number.is_sign_negative() => Binding::Negation,
        Node::Literal(_) | Node::List(_) | Node::Property(_) | Node::Call(..) => Binding::Term,
        Node::Negate(_) => Binding::Negation,
        Node::Not(_) => Binding::Not,
        Node::All(_) => Binding::All,
        Node::Any(_) => Binding::Any,
        Node::Binary(operator, ..) => operator.binding(),
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &Value<'_>) -> fmt::Result {
    match value {
        Value::Boolean(yes) => write!(f, "{yes}"),
        Value::Number(number) => write!(f, "{number}"),
        Value::Text(text) => write_text(f, text),
        // There are no other literals.
        _ => Err(fmt::Error),
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
