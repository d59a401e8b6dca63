//! Reading an expression.
//!
//! # Invariants
//! * Nothing is built beyond the limits: length, depth, terms, names, the items of a list.
//! * An operand of `and` and `or`, and the whole, can be true or false, or is a property that may be.

use std::{error::Error, fmt, sync::Arc};

use crate::{
    Expression, Kind, Name, Source, Value,
    token::{Token, Tokens},
    tree::{Binding, Function, Node, Operator, Part},
};

/// The longest text that is read, in bytes.
pub const LENGTH_MAX: usize = 32 << 10;
/// The most levels that an expression has.
pub const DEPTH_MAX: usize = 64;
/// The most terms and operators it has, the items of lists aside.
pub const TERMS_MAX: usize = 1000;
/// The most properties it names.
pub const NAMES_MAX: usize = 64;
/// The most items of all its lists.
pub const LIST_LEN_MAX: usize = 10_000;

/// What is wrong with a text, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The character that it shows at, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)
    }
}

impl Error for ParseError {}

impl Expression {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong first, with its column.
    pub fn parse(text: &str) -> Result<Expression, ParseError> {
        if text.len() > LENGTH_MAX {
            let what =
                format!("the expression has {} bytes, and {LENGTH_MAX} are read: shorten it", text.len());
            return Err(ParseError { column: 1, what });
        }
        let mut tokens = Tokens::of(text);
        let (token, column) = tokens.next()?;
        let mut parser = Parser { tokens, token, column, level: 0, terms: 0, items: 0, names: Vec::new() };
        let read = parser.operand(Binding::Any)?;
        match &parser.token {
            Token::End => {}
            Token::Sign("]" | ")") => {
                return Err(parser.unexpected("there is nothing that it closes: leave it out"));
            }
            _ => {
                return Err(parser.unexpected("put an operator such as `and` or `==` in front of it"));
            }
        }
        truth(&read.node, read.column, "a filter")?;
        Ok(Expression { root: read.node, names: parser.names })
    }
}

/// A part that was read.
struct Read {
    node: Node,
    /// Where it begins.
    column: usize,
    depth: usize,
}

struct Parser<'t> {
    tokens: Tokens<'t>,
    /// The next one, and where it begins.
    token: Token<'t>,
    column: usize,
    /// How deep the reading is in itself.
    level: usize,
    terms: usize,
    items: usize,
    names: Vec<Name>,
}

impl<'t> Parser<'t> {
    fn take(&mut self) -> Result<(Token<'t>, usize), ParseError> {
        let (token, column) = self.tokens.next()?;
        Ok((std::mem::replace(&mut self.token, token), std::mem::replace(&mut self.column, column)))
    }

    fn unexpected(&self, what_to_do: &str) -> ParseError {
        ParseError { column: self.column, what: format!("{} is not expected here: {what_to_do}", self.token) }
    }

    /// Takes a sign that has to come.
    fn expect(&mut self, sign: &'static str, what_to_do: &str) -> Result<(), ParseError> {
        if self.token == Token::Sign(sign) {
            return self.take().map(drop);
        }
        Err(self.unexpected(what_to_do))
    }

    /// Counts a part, and its levels.
    fn part(&mut self, node: Node, column: usize, depth: usize) -> Result<Read, ParseError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            let what = format!(
                "more than {TERMS_MAX} terms and operators: for one of many values write `in [\u{2026}]`"
            );
            return Err(ParseError { column, what });
        }
        if depth > DEPTH_MAX {
            return Err(too_deep(column));
        }
        Ok(Read { node, column, depth })
    }

    /// Reads all that binds at least so tightly.
    fn operand(&mut self, least: Binding) -> Result<Read, ParseError> {
        self.level += 1;
        // A level may take two: for the operator, and for brackets.
        if self.level > 2 * DEPTH_MAX {
            return Err(too_deep(self.column));
        }
        let mut read = self.first()?;
        loop {
            let column = read.column;
            if let Some(is_all) =
                self.connective().filter(|all| least <= if *all { Binding::All } else { Binding::Any })
            {
                read = self.connected(read, is_all)?;
                continue;
            }
            let Some((operator, denied)) = self.operator()? else { break };
            if operator.binding() < least {
                // Only `not in` was looked at twice, and it binds as `in` does.
                break;
            }
            self.take()?;
            if denied {
                self.take()?;
            }
            let right = self.operand(tighter(operator.binding()))?;
            let depth = 1 + read.depth.max(right.depth);
            let node = Node::Binary(operator, Box::new(read.node), Box::new(right.node));
            read = self.part(node, column, depth)?;
            if denied {
                read = self.part(Node::Not(Box::new(read.node)), column, read.depth + 1)?;
            }
        }
        self.level -= 1;
        Ok(read)
    }

    /// Is the next word `and`, or `or`?
    fn connective(&self) -> Option<bool> {
        match self.token {
            Token::Word("and") => Some(true),
            Token::Word("or") => Some(false),
            _ => None,
        }
    }

    /// `read` was the first of several between equal words.
    fn connected(&mut self, read: Read, is_all: bool) -> Result<Read, ParseError> {
        let (word, binding) = if is_all { ("and", Binding::All) } else { ("or", Binding::Any) };
        let (column, mut depth) = (read.column, read.depth);
        truth(&read.node, column, word)?;
        let mut parts = vec![Part { node: read.node, column }];
        while self.connective() == Some(is_all) {
            self.take()?;
            let next = self.operand(tighter(binding))?;
            truth(&next.node, next.column, word)?;
            depth = depth.max(next.depth);
            self.terms += 1;
            parts.push(Part { node: next.node, column: next.column });
        }
        let node = if is_all { Node::All(parts) } else { Node::Any(parts) };
        self.part(node, column, depth + 1)
    }

    /// The operator that comes next, and whether it is `not in`.
    fn operator(&mut self) -> Result<Option<(Operator, bool)>, ParseError> {
        let operator = match &self.token {
            Token::Word("in") => Operator::In,
            Token::Word("not") => {
                let mut ahead = Tokens::of(self.tokens.rest());
                return match ahead.next() {
                    Ok((Token::Word("in"), _)) => Ok(Some((Operator::In, true))),
                    _ => Err(self.unexpected("between two operands there is `not in` only")),
                };
            }
            Token::Sign(sign) => {
                let known = [
                    Operator::Equal,
                    Operator::Unequal,
                    Operator::Less,
                    Operator::LessOrEqual,
                    Operator::Greater,
                    Operator::GreaterOrEqual,
                    Operator::Add,
                    Operator::Subtract,
                    Operator::Multiply,
                    Operator::Divide,
                    Operator::Remainder,
                ];
                match known.into_iter().find(|operator| operator.as_str() == *sign) {
                    Some(operator) => operator,
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        Ok(Some((operator, false)))
    }

    /// A term, or one behind `-` or `not`.
    fn first(&mut self) -> Result<Read, ParseError> {
        let (token, column) = self.take()?;
        match token {
            Token::Sign("-") => {
                let of = self.operand(Binding::Negation)?;
                self.part(of.node.negated(), column, of.depth + 1)
            }
            Token::Word("not") => {
                let of = self.operand(Binding::Not)?;
                self.part(Node::Not(Box::new(of.node)), column, of.depth + 1)
            }
            Token::Sign("(") => {
                let inside = self.operand(Binding::Any)?;
                self.expect(")", "close the bracket with `)`, or put an operator between")?;
                Ok(Read { column, ..inside })
            }
            Token::Sign("[") => self.list(column),
            Token::Text(text) => self.literal(Value::Text(text.into_owned().into()), column),
            Token::Number(number) => self.literal(Value::Number(number), column),
            Token::Word(word @ ("true" | "false")) => self.literal(Value::Boolean(word == "true"), column),
            Token::Word("properties") => self.property(Source::Properties, column),
            Token::Word("user") => self.property(Source::User, column),
            Token::Word("event") => self.property(Source::Event, column),
            Token::Word(word) => match Function::ALL.into_iter().find(|f| f.as_str() == word) {
                Some(function) => self.call(function, column),
                None => Err(unknown_word(word, column)),
            },
            Token::End if column == 1 => Err(ParseError {
                column,
                what: "the expression is empty: leave it out, or write one".to_owned(),
            }),
            other => Err(ParseError {
                column,
                what: format!(
                    "{other} is not expected here: a value belongs here, such as properties[\"name\"]"
                ),
            }),
        }
    }

    fn literal(&mut self, value: Value<'static>, column: usize) -> Result<Read, ParseError> {
        self.part(Node::Literal(value), column, 1)
    }

    fn property(&mut self, source: Source, column: usize) -> Result<Read, ParseError> {
        let how = || format!("write {}[\"name\"]", source.as_str());
        self.expect("[", &how())?;
        let Token::Text(name) = &self.token else { return Err(self.unexpected(&how())) };
        let name: Box<str> = name.as_ref().into();
        self.take()?;
        self.expect("]", &how())?;
        let known = self.names.iter().position(|known| known.source == source && known.name == name);
        let place = match known {
            Some(place) => place,
            None if self.names.len() == NAMES_MAX => {
                let what = format!("more than {NAMES_MAX} properties are named: ask in several requests");
                return Err(ParseError { column, what });
            }
            None => {
                self.names.push(Name { source, name, column });
                self.names.len() - 1
            }
        };
        if self.token == Token::Sign("[") {
            return Err(self.unexpected("what lies inside of a property cannot be looked at"));
        }
        self.part(Node::Property(place), column, 1)
    }

    /// Behind its `[`.
    fn list(&mut self, column: usize) -> Result<Read, ParseError> {
        let mut items = Vec::new();
        while self.token != Token::Sign("]") {
            self.items += 1;
            if self.items > LIST_LEN_MAX {
                let what = format!("the lists have more than {LIST_LEN_MAX} items: ask in several requests");
                return Err(ParseError { column: self.column, what });
            }
            items.push(self.item()?);
            match self.token {
                Token::Sign(",") => drop(self.take()?),
                Token::Sign("]") => {}
                _ => return Err(self.unexpected("put a comma between items, and `]` behind the last one")),
            }
        }
        self.take()?;
        self.part(Node::List(Arc::from(items)), column, 1)
    }

    fn item(&mut self) -> Result<Value<'static>, ParseError> {
        let what_to_do = "a list holds strings, numbers, true and false";
        let negative = self.token == Token::Sign("-");
        if negative {
            self.take()?;
        }
        let value = match &self.token {
            Token::Number(number) => Value::Number(if negative { -number } else { *number }),
            Token::Text(text) if !negative => Value::Text(text.clone().into_owned().into()),
            Token::Word("true") if !negative => Value::Boolean(true),
            Token::Word("false") if !negative => Value::Boolean(false),
            _ => return Err(self.unexpected(what_to_do)),
        };
        self.take()?;
        Ok(value)
    }

    fn call(&mut self, function: Function, column: usize) -> Result<Read, ParseError> {
        let name = function.as_str();
        let how = if function.arguments() == 2 {
            format!("write {name}(a, b)")
        } else {
            format!("write {name}(a)")
        };
        self.expect("(", &how)?;
        let (mut of, mut depth) = (Vec::with_capacity(function.arguments()), 0);
        for nth in 0..function.arguments() {
            if nth > 0 {
                self.expect(",", &how)?;
            }
            let argument = self.operand(Binding::Any)?;
            depth = depth.max(argument.depth);
            of.push(argument.node);
        }
        self.expect(")", &how)?;
        self.part(Node::Call(function, of), column, depth + 1)
    }
}

/// What the right operand of an operator has to bind like: operators of a kind go from left to right.
pub(crate) fn tighter(binding: Binding) -> Binding {
    match binding {
        Binding::Any => Binding::All,
        Binding::All => Binding::Not,
        Binding::Not => Binding::Equality,
        Binding::Equality => Binding::Comparison,
        Binding::Comparison => Binding::Sum,
        Binding::Sum => Binding::Product,
        Binding::Product => Binding::Negation,
        Binding::Negation | Binding::Term => Binding::Term,
    }
}

/// Demands what can be true or false.
fn truth(node: &Node, column: usize, needs: &str) -> Result<(), ParseError> {
    let kind = node.kind();
    if kind.meets(Kind::BOOLEAN) {
        return Ok(());
    }
    let what = format!(
        "{kind} is neither true nor false, which `{needs}` needs: compare it, or write boolean(\u{2026})"
    );
    Err(ParseError { column, what: what.replace("`a filter`", "a filter") })
}

fn too_deep(column: usize) -> ParseError {
    ParseError { column, what: format!("more than {DEPTH_MAX} levels: take some brackets or operators away") }
}

fn unknown_word(word: &str, column: usize) -> ParseError {
    let lower = word.to_lowercase();
    let words = ["and", "or", "not", "in", "true", "false", "properties", "user", "event"];
    let mut known = words.into_iter().chain(Function::ALL.into_iter().map(Function::as_str));
    let what_to_do = match lower.as_str() {
        "and" | "or" | "in" if lower == word => "a value belongs in front of it".to_owned(),
        "null" | "none" | "undefined" => "write defined(\u{2026}) or not defined(\u{2026})".to_owned(),
        _ => match known.find(|known| *known == lower) {
            Some(known) => format!("write `{known}`"),
            None => {
                "strings stand in quotes, properties are written as properties[\"name\"], and functions are defined, \
                 boolean, number, string, datetime, floor, round, ceil, has_prefix"
                    .to_owned()
            }
        },
    };
    let shown = Token::Word(word);
    let what = if what_to_do.starts_with("a value") {
        format!("{shown} is not expected here: {what_to_do}")
    } else {
        format!("{shown} is not known: {what_to_do}")
    };
    ParseError { column, what }
}
