//! An expression that was read.

use std::sync::Arc;

use crate::{Kind, Value};

/// Where a term looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `properties["x"]`
    Properties,
    /// `user["x"]`
    User,
    /// `event["x"]`
    Event,
}

impl Source {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Properties => "properties",
            Source::User => "user",
            Source::Event => "event",
        }
    }
}

/// A property that an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Whose.
    pub source: Source,
    /// What it is called.
    pub name: Box<str>,
    /// The column at which it is named first, from 1.
    pub column: usize,
}

/// A condition that events meet or not.
#[derive(Clone, Debug)]
pub struct Expression {
    pub(crate) root: Node,
    pub(crate) names: Vec<Name>,
}

/// Two are equal that say the same, wherever each part of them stands.
impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        let same = |a: &Name, b: &Name| (a.source, &a.name) == (b.source, &b.name);
        self.root == other.root
            && self.names.len() == other.names.len()
            && self.names.iter().zip(&other.names).all(|(a, b)| same(a, b))
    }
}

impl Expression {
    /// The properties it looks at, each once: in this order their values are given to it.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Whether an event can hold what makes it meaningless: see [`Fault`](crate::Fault).
    #[must_use]
    pub fn can_fault(&self) -> bool {
        !self.root.kind().is_within(Kind::TRUTH)
            || self.root.any(&|node| match node {
                Node::All(parts) | Node::Any(parts) => {
                    parts.iter().any(|p| !p.node.kind().is_within(Kind::TRUTH))
                }
                _ => false,
            })
    }
}

/// Operators between two operands, but for `and` and `or`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Operator::Equal => "==",
            Operator::Unequal => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::In => "in",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
        }
    }

    /// How tightly it binds.
    pub(crate) fn binding(self) -> Binding {
        match self {
            Operator::Equal | Operator::Unequal => Binding::Equality,
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::In => Binding::Comparison,
            Operator::Add | Operator::Subtract => Binding::Sum,
            Operator::Multiply | Operator::Divide | Operator::Remainder => Binding::Product,
        }
    }
}

/// How tightly a part holds together: the order of C, but that `not` is Python's, as its spelling is: it denies the
/// whole comparison behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Binding {
    Any,
    All,
    Not,
    Equality,
    Comparison,
    Sum,
    Product,
    Negation,
    Term,
}

/// Functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Defined,
    Boolean,
    Number,
    String,
    Datetime,
    Floor,
    Round,
    Ceil,
    HasPrefix,
}

impl Function {
    pub(crate) const ALL: [Function; 9] = [
        Function::Defined,
        Function::Boolean,
        Function::Number,
        Function::String,
        Function::Datetime,
        Function::Floor,
        Function::Round,
        Function::Ceil,
        Function::HasPrefix,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Function::Defined => "defined",
            Function::Boolean => "boolean",
            Function::Number => "number",
            Function::String => "string",
            Function::Datetime => "datetime",
            Function::Floor => "floor",
            Function::Round => "round",
            Function::Ceil => "ceil",
            Function::HasPrefix => "has_prefix",
        }
    }

    /// How many arguments it takes.
    pub(crate) fn arguments(self) -> usize {
        if self == Function::HasPrefix { 2 } else { 1 }
    }

    fn kind(self, of: &[Node]) -> Kind {
        let first = of.first().map_or(Kind::ANY, Node::kind);
        match self {
            Function::Defined | Function::Boolean => Kind::BOOLEAN,
            Function::HasPrefix => Kind::BOOLEAN | Kind::UNDEFINED,
            Function::Number | Function::Floor | Function::Round | Function::Ceil => {
                Kind::NUMBER | Kind::UNDEFINED
            }
            Function::String if first.meets(Kind::NULL) => Kind::TEXT | Kind::UNDEFINED | Kind::NULL,
            Function::String => Kind::TEXT | Kind::UNDEFINED,
            Function::Datetime => Kind::DATETIME | Kind::UNDEFINED,
        }
    }
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A literal.
    Literal(Value<'static>),
    /// A literal list.
    List(Arc<[Value<'static>]>),
    /// A property, by its place among the names.
    Property(usize),
    /// `-x`
    Negate(Box<Node>),
    /// `not x`
    Not(Box<Node>),
    /// `x and y and z`
    All(Vec<Part>),
    /// `x or y or z`
    Any(Vec<Part>),
    /// `x + y` and the like.
    Binary(Operator, Box<Node>, Box<Node>),
    /// `floor(x)` and the like.
    Call(Function, Vec<Node>),
}

/// An operand of `and` or `or`, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) node: Node,
    pub(crate) column: usize,
}

impl PartialEq for Part {
    fn eq(&self, other: &Part) -> bool {
        self.node == other.node
    }
}

impl Node {
    /// Of what kinds its value can be.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Node::Literal(value) => value.kind(),
            Node::List(_) => Kind::LIST,
            Node::Property(_) => Kind::ANY,
            Node::Negate(_) => Kind::NUMBER | Kind::UNDEFINED,
            Node::Not(_) => Kind::BOOLEAN | Kind::UNDEFINED,
            Node::All(_) | Node::Any(_) => Kind::BOOLEAN,
            Node::Call(function, of) => function.kind(of),
            Node::Binary(operator, left, right) => match operator {
                Operator::Equal | Operator::Unequal => Kind::BOOLEAN,
                Operator::Less
                | Operator::LessOrEqual
                | Operator::Greater
                | Operator::GreaterOrEqual
                | Operator::In => Kind::BOOLEAN | Kind::UNDEFINED,
                Operator::Add if left.kind().meets(Kind::TEXT) && right.kind().meets(Kind::TEXT) => {
                    Kind::NUMBER | Kind::TEXT | Kind::UNDEFINED
                }
                _ => Kind::NUMBER | Kind::UNDEFINED,
            },
        }
    }

    fn any(&self, is: &impl Fn(&Node) -> bool) -> bool {
        is(self)
            || match self {
                Node::Literal(_) | Node::List(_) | Node::Property(_) => false,
                Node::Negate(of) | Node::Not(of) => of.any(is),
                Node::All(parts) | Node::Any(parts) => parts.iter().any(|p| p.node.any(is)),
                Node::Binary(_, left, right) => left.any(is) || right.any(is),
                Node::Call(_, of) => of.iter().any(|node| node.any(is)),
            }
    }

    /// `-x`; of a literal number, the negative one.
    pub(crate) fn negated(self) -> Node {
        match self {
            Node::Literal(Value::Number(number)) => Node::Literal(Value::Number(-number)),
            other => Node::Negate(Box::new(other)),
        }
    }
}
