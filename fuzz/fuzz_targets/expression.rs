//! What `where` says: any text is read or refused within bounds; what was read prints to what reads the same, and judges
//! every event.
#![no_main]

use forebay_expression::{Expression, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error}");
            assert!(error.what.len() < 500, "{error}");
            return;
        }
    };
    let printed = expression.to_string();
    let read = Expression::parse(&printed);
    assert_eq!(read.as_ref(), Ok(&expression), "{printed}");
    let list = || Value::List([Value::text("a"), Value::Number(1.0)].into());
    let kinds = [
        Value::Undefined,
        Value::Null,
        Value::Boolean(true),
        Value::Number(-1.5),
        Value::text("2026-03-01"),
        Value::Datetime(i64::MAX),
        list(),
        Value::Object,
    ];
    for turn in 0..kinds.len() {
        let values: Vec<_> =
            kinds.iter().cycle().skip(turn).take(expression.names().len()).cloned().collect();
        let judged = expression.holds(&values);
        assert!(judged.is_ok() || expression.can_fault(), "{printed}: {judged:?}");
    }
});
