//! Expressions of all shapes: printed and read again, and asked of events of all shapes.

use proptest::prelude::*;

use crate::{
    Expression, Name, Source, Value,
    tree::{Function, Node, Operator, Part},
};

const OPERATORS: [Operator; 12] = [
    Operator::Equal,
    Operator::Unequal,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::In,
    Operator::Add,
    Operator::Subtract,
    Operator::Multiply,
    Operator::Divide,
    Operator::Remainder,
];

fn literal() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::Number),
        (-9_i32..9).prop_map(|n| Value::Number(n.into())),
        "\\PC{0,8}|[\"\\\\\n\t'\u{1}😀]{0,6}".prop_map(|text| Value::Text(text.into())),
    ]
}

/// A property's name, before it has a place among the names.
type Named = (Source, String);

/// A tree, of which [`placed`] makes an expression.
#[derive(Clone, Debug)]
enum Shape {
    Literal(Value<'static>),
    List(Vec<Value<'static>>),
    Property(Named),
    Negate(Box<Shape>),
    Not(Box<Shape>),
    All(Vec<Shape>),
    Any(Vec<Shape>),
    Binary(Operator, Box<Shape>, Box<Shape>),
    Call(Function, Vec<Shape>),
}

/// What can be true or false.
fn truth(of: Shape) -> Shape {
    match of {
        Shape::Literal(Value::Boolean(_))
        | Shape::Property(_)
        | Shape::Not(_)
        | Shape::All(_)
        | Shape::Any(_) => of,
        Shape::Call(Function::Defined | Function::Boolean | Function::HasPrefix, _) => of,
        Shape::Binary(operator, ..) if operator.binding() <= crate::tree::Binding::Comparison => of,
        other => Shape::Call(Function::Boolean, vec![other]),
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let source = prop::sample::select(vec![Source::Properties, Source::User, Source::Event]);
    let leaf = prop_oneof![
        literal().prop_map(Shape::Literal),
        prop::collection::vec(literal(), 0..4).prop_map(Shape::List),
        (source, "[ab\"\\\\$ ]{0,3}").prop_map(Shape::Property),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let several = || prop::collection::vec(inner.clone().prop_map(truth), 2..4);
        prop_oneof![
            inner.clone().prop_map(|of| Shape::Negate(Box::new(of))),
            inner.clone().prop_map(|of| Shape::Not(Box::new(of))),
            several().prop_map(Shape::All),
            several().prop_map(Shape::Any),
            (prop::sample::select(OPERATORS.to_vec()), inner.clone(), inner.clone())
                .prop_map(|(operator, a, b)| Shape::Binary(operator, Box::new(a), Box::new(b))),
            (prop::sample::select(Function::ALL.to_vec()), inner.clone(), inner).prop_map(
                |(function, a, b)| {
                    let of = if function.arguments() == 2 { vec![a, b] } else { vec![a] };
                    Shape::Call(function, of)
                }
            ),
        ]
    })
}

/// The tree with its names in the order in which they are read.
fn placed(shape: Shape, names: &mut Vec<Name>) -> Node {
    let several = |shapes: Vec<Shape>, names: &mut Vec<Name>| -> Vec<Part> {
        shapes.into_iter().map(|shape| Part { node: placed(shape, names), column: 1 }).collect()
    };
    match shape {
        Shape::Literal(value) => Node::Literal(value),
        Shape::List(items) => Node::List(items.into()),
        Shape::Property((source, name)) => {
            let known = names.iter().position(|n| n.source == source && *n.name == *name);
            Node::Property(known.unwrap_or_else(|| {
                names.push(Name { source, name: name.into(), column: 1 });
                names.len() - 1
            }))
        }
        Shape::Negate(of) => placed(*of, names).negated(),
        Shape::Not(of) => Node::Not(Box::new(placed(*of, names))),
        Shape::All(shapes) => Node::All(several(shapes, names)),
        Shape::Any(shapes) => Node::Any(several(shapes, names)),
        Shape::Binary(operator, left, right) => {
            let left = placed(*left, names);
            Node::Binary(operator, Box::new(left), Box::new(placed(*right, names)))
        }
        Shape::Call(function, of) => {
            Node::Call(function, of.into_iter().map(|shape| placed(shape, names)).collect())
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_as_the_same_tree(shape in shape().prop_map(truth)) {
        let mut names = Vec::new();
        let root = placed(shape, &mut names);
        let expression = Expression { root, names };
        let printed = expression.to_string();
        let read = Expression::parse(&printed);
        prop_assert_eq!(read.as_ref(), Ok(&expression), "{}", printed);
        prop_assert_eq!(read.unwrap().to_string(), printed);
    }

    #[test]
    fn every_event_is_judged_and_where_no_fault_was_possible_there_is_none(
        shape in shape().prop_map(truth),
        values in prop::collection::vec(prop_oneof![
            literal(),
            Just(Value::Undefined),
            Just(Value::Null),
            Just(Value::Object),
            Just(Value::Datetime(1_772_366_400_000)),
            prop::collection::vec(literal(), 0..3).prop_map(|items| Value::List(items.into())),
        ], 0..8),
    ) {
        let mut names = Vec::new();
        let root = placed(shape, &mut names);
        let expression = Expression { root, names };
        let judged = expression.holds(&values);
        prop_assert!(judged.is_ok() || expression.can_fault(), "{}: {:?}", expression, judged);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,40}|[-()\\[\\]a-z\"'\\\\<>=!. 0-9]{0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression));
        }
    }
}
