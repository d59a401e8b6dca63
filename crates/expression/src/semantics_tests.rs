//! What expressions mean, row by row of what Mixpanel's clients expect of them.

use std::sync::Arc;

use crate::{
    DEPTH_MAX, Expression, Kind, LENGTH_MAX, LIST_LEN_MAX, NAMES_MAX, TERMS_MAX, TEXT_BYTES_MAX, Value,
    evaluate::evaluate,
};

/// What the properties of these tests hold.
fn property(name: &str) -> Value<'static> {
    match name {
        "text" => Value::text("abc"),
        "empty" => Value::text(""),
        "false text" => Value::text("false"),
        "seven" => Value::Number(7.0),
        "zero" => Value::Number(0.0),
        "yes" => Value::Boolean(true),
        "no" => Value::Boolean(false),
        "null" => Value::Null,
        "tags" => Value::List(Arc::from([Value::text("a"), Value::Number(1.0), Value::Null])),
        "object" => Value::Object,
        "day" => Value::text("2026-03-01T12:00:00"),
        "seconds" => Value::Number(1_772_366_400.0),
        _ => Value::Undefined,
    }
}

/// What an expression comes to; it is wrapped so that it may be of any kind.
fn value_of(text: &str) -> String {
    // Within `defined` everything is allowed; the tree is what counts.
    let expression = Expression::parse(&format!("defined({text})")).unwrap_or_else(|e| panic!("{text}: {e}"));
    let values: Vec<_> = expression.names().iter().map(|name| property(&name.name)).collect();
    let crate::tree::Node::Call(_, of) = &expression.root else { panic!("{text}") };
    match evaluate(&of[0], &values) {
        Err(fault) => format!("fault at {}: {}", fault.column - "defined(".len(), fault.kind),
        Ok(Value::Undefined) => "undefined".to_owned(),
        Ok(Value::Null) => "null".to_owned(),
        Ok(Value::Boolean(yes)) => yes.to_string(),
        Ok(Value::Number(number)) => number.to_string(),
        Ok(Value::Text(text)) => format!("{text:?}"),
        Ok(Value::Datetime(ms)) => format!("datetime {ms}"),
        Ok(Value::List(items)) => format!("{} items", items.len()),
        Ok(Value::Object) => "object".to_owned(),
    }
}

fn check(rows: &[(&str, &str)]) {
    for (text, value) in rows {
        assert_eq!(value_of(text), *value, "{text}");
    }
}

fn error(text: &str) -> String {
    Expression::parse(text).err().unwrap_or_else(|| panic!("{text} was taken")).to_string()
}

#[test]
fn terms_are_properties_of_events_and_users_the_event_and_literals() {
    check(&[
        (r#"properties["text"]"#, r#""abc""#),
        (r#"user["seven"]"#, "7"),
        (r#"event["yes"]"#, "true"),
        (r#"properties['text']"#, r#""abc""#),
        (r#"properties [ "text" ]"#, r#""abc""#),
        (r#""a \"b\" \\ \u00e9 \ud83d\ude00""#, r#""a \"b\" \\ é 😀""#),
        ("'it\\'s'", r#""it's""#),
        ("12.50", "12.5"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("-4", "-4"),
        ("true", "true"),
        ("false", "false"),
        (r#"["a", -1, true,]"#, "3 items"),
        ("[]", "0 items"),
        (r#"defined(properties["text"])"#, "true"),
        (r#"defined(properties["nothing"])"#, "false"),
        (r#"defined(properties["null"])"#, "false"),
        (r#"defined(properties["empty"])"#, "true"),
        (r#"datetime("2026-03-01T12:00:00")"#, "datetime 1772366400000"),
        (r#"datetime("2026-03-01T13:00:00+01:00")"#, "datetime 1772366400000"),
        (r#"datetime("2026-03-01")"#, "datetime 1772323200000"),
        ("datetime(1772366400)", "datetime 1772366400000"),
        (r#"datetime("one day")"#, "undefined"),
        ("datetime(1e300)", "undefined"),
    ]);
    let both = Expression::parse(r#"properties["x"] == user["x"] or properties["x"] == 1"#).unwrap();
    assert_eq!(both.names().len(), 2, "each once, and whose it is counts");
    assert_eq!(both.names()[1].column, 20);
}

#[test]
fn every_operator_and_function_is_known() {
    check(&[
        ("1 + 2", "3"),
        ("5 - 3", "2"),
        ("4 * 2", "8"),
        ("9 / 2", "4.5"),
        ("9 % 4", "1"),
        ("1 == 1", "true"),
        ("1 != 1", "false"),
        ("1 < 2", "true"),
        ("2 <= 2", "true"),
        ("1 > 2", "false"),
        ("2 >= 3", "false"),
        ("1 in [1, 2]", "true"),
        ("3 not in [1, 2]", "true"),
        ("true and false", "false"),
        ("true or false", "true"),
        ("not true", "false"),
        ("-(3)", "-3"),
        ("floor(1.7)", "1"),
        ("floor(-1.2)", "-2"),
        ("ceil(1.2)", "2"),
        ("round(1.5)", "2"),
        ("round(-1.5)", "-2"),
        (r#"floor("1.5")"#, "undefined"),
        (r#"has_prefix(string(properties["text"]), "ab")"#, "true"),
        (r#"has_prefix("abc", "b")"#, "false"),
        (r#"has_prefix(properties["seven"], "7")"#, "undefined"),
    ]);
}

#[test]
fn what_is_of_two_types_is_undefined_and_never_equal() {
    check(&[
        (r#"1 + "1""#, "undefined"),
        (r#""a" - "b""#, "undefined"),
        (r#"true * 2"#, "undefined"),
        (r#"1 < "2""#, "undefined"),
        (r#"true < false"#, "undefined"),
        (r#"properties["nothing"] + 1"#, "undefined"),
        (r#"properties["null"] < 1"#, "undefined"),
        (r#"1 == "1""#, "false"),
        (r#"1 != "1""#, "true"),
        (r#"true == 1"#, "false"),
        (r#"properties["nothing"] == 1"#, "false"),
        (r#"properties["nothing"] != 1"#, "true"),
        (r#"properties["nothing"] == properties["nowhere"]"#, "true"),
        (r#"properties["null"] == properties["nothing"]"#, "false"),
        (r#"properties["object"] == properties["object"]"#, "false"),
        ("1 / 0", "undefined"),
        ("1 % 0", "undefined"),
        ("0 / 0", "undefined"),
        ("1e308 * 10", "undefined"),
        ("-7 % 3", "-1"),
        ("7 % -3", "1"),
        (r#""ab" + "cd""#, r#""abcd""#),
        (r#""a" < "b""#, "true"),
        (r#"-properties["text"]"#, "undefined"),
    ]);
    let long = Value::Text("x".repeat(TEXT_BYTES_MAX).into());
    let doubled = Expression::parse(r#"defined(properties["a"] + "x")"#).unwrap();
    assert_eq!(doubled.holds(&[long]), Ok(false), "no text grows without end");
}

#[test]
fn a_datetime_compares_with_what_names_a_moment() {
    check(&[
        (r#"properties["day"] == datetime("2026-03-01T12:00:00")"#, "true"),
        (r#"properties["day"] >= datetime("2026-03-01")"#, "true"),
        (r#"properties["seconds"] == datetime("2026-03-01T12:00:00")"#, "true"),
        (r#"datetime("2026-03-02") > properties["seconds"]"#, "true"),
        (r#"properties["text"] < datetime("2026-03-02")"#, "undefined"),
        (r#"properties["text"] == datetime("2026-03-02")"#, "false"),
        (r#"properties["nothing"] < datetime("2026-03-02")"#, "undefined"),
        (r#"datetime("2026-03-02") + 1"#, "undefined"),
    ]);
}

#[test]
fn in_finds_a_part_of_a_string_and_a_member_of_a_list() {
    check(&[
        (r#""b" in "abc""#, "true"),
        (r#""" in "abc""#, "true"),
        (r#""x" in properties["text"]"#, "false"),
        (r#"properties["seven"] in [1, 7]"#, "true"),
        (r#"properties["text"] in ["abc"]"#, "true"),
        (r#""7" in [7]"#, "false"),
        (r#""a" in properties["tags"]"#, "true"),
        (r#"2 in properties["tags"]"#, "false"),
        (r#"properties["nothing"] in [1]"#, "false"),
        (r#"1 in "1""#, "undefined"),
        (r#""a" in 1"#, "undefined"),
        (r#""a" in properties["nothing"]"#, "undefined"),
        (r#"[1] in [1]"#, "undefined"),
        (r#""x" not in properties["nothing"]"#, "true"),
    ]);
}

#[test]
fn undefined_is_false_to_and_and_or_true_to_not_and_other_types_are_errors() {
    check(&[
        (r#"properties["nothing"] and true"#, "false"),
        (r#"properties["nothing"] or true"#, "true"),
        (r#"properties["null"] or false"#, "false"),
        (r#"not properties["nothing"]"#, "true"),
        (r#"not properties["null"]"#, "true"),
        (r#"not properties["text"]"#, "undefined"),
        (r#"true or properties["text"]"#, "true"),
        (r#"false and properties["text"]"#, "false"),
        (r#"true and properties["text"]"#, "fault at 10: a string"),
        (r#"properties["seven"] or true"#, "fault at 1: a number"),
        (r#"false or properties["object"]"#, "fault at 10: an object"),
    ]);
    assert_eq!(
        error(r#"defined(properties["x"]) and "yes""#),
        r#"column 30: a string is neither true nor false, which `and` needs: compare it, or write boolean(…)"#
    );
    assert_eq!(
        error(r#"1 + properties["x"] or true"#),
        "column 1: a number is neither true nor false, which `or` needs: compare it, or write boolean(…)"
    );
    let flag = Expression::parse(r#"properties["x"]"#).unwrap();
    assert!(flag.can_fault());
    assert_eq!(flag.holds(&[Value::Boolean(true)]), Ok(true));
    assert_eq!(flag.holds(&[]), Ok(false));
    let fault = flag.holds(&[Value::Number(1.0)]).unwrap_err();
    assert_eq!((fault.column, fault.kind), (1, Kind::NUMBER));
    let text =
        "column 1: this is a number in an event, neither true nor false: compare it, or write boolean(…)";
    assert_eq!(fault.to_string(), text);
    for (text, can_fault) in [
        (r#"properties["x"]"#, true),
        (r#"properties["x"] == 1 and properties["y"]"#, true),
        (r#"defined(properties["x"] or true)"#, true),
        (r#"not properties["x"]"#, false),
        (r#"properties["x"] == 1 and "a" in properties["y"]"#, false),
        (r#"boolean(properties["x"])"#, false),
    ] {
        assert_eq!(Expression::parse(text).unwrap().can_fault(), can_fault, "{text}");
    }
}

#[test]
fn casts_follow_the_published_tables() {
    check(&[
        (r#"number("12.5")"#, "12.5"),
        (r#"number(" 7 ")"#, "7"),
        (r#"number("abc")"#, "undefined"),
        (r#"number("inf")"#, "undefined"),
        (r#"number("")"#, "undefined"),
        ("number(true)", "1"),
        ("number(false)", "0"),
        ("number(3)", "3"),
        (r#"number(properties["null"])"#, "undefined"),
        (r#"number(properties["nothing"])"#, "undefined"),
        (r#"number(properties["tags"])"#, "undefined"),
        ("string(12.5)", r#""12.5""#),
        ("string(7)", r#""7""#),
        ("string(1e21)", r#""1000000000000000000000""#),
        ("string(true)", r#""true""#),
        (r#"string("a")"#, r#""a""#),
        (r#"string(properties["null"])"#, "null"),
        (r#"string(properties["nothing"])"#, "undefined"),
        (r#"string(datetime("2026-03-01"))"#, r#""2026-03-01T00:00:00""#),
        (r#"boolean(properties["text"])"#, "true"),
        (r#"boolean(properties["false text"])"#, "false"),
        (r#"boolean(properties["empty"])"#, "false"),
        (r#"boolean(properties["zero"])"#, "false"),
        (r#"boolean(properties["seven"])"#, "true"),
        (r#"boolean(properties["null"])"#, "false"),
        (r#"boolean(properties["nothing"])"#, "false"),
        (r#"boolean(properties["tags"])"#, "true"),
        (r#"(boolean(properties["text"]) == true)"#, "true"),
    ]);
}

#[test]
fn operators_bind_as_in_c_and_not_denies_the_whole_comparison() {
    check(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 2 - 3", "5"),
        ("2 * 9 % 4", "2"),
        ("-2 * -3", "6"),
        ("1 + 1 < 3 == true", "true"),
        ("1 < 2 == 2 < 3", "true"),
        ("true or true and false", "true"),
        ("(true or true) and false", "false"),
        (r#"not properties["seven"] == 8"#, "true"),
        (r#"not "x" in properties["text"] and true"#, "true"),
        ("not false or true", "true"),
        ("not not true", "true"),
        ("true == not false", "true"),
    ]);
}

#[test]
fn a_mistake_is_named_with_its_column_and_what_to_do() {
    for (text, told) in [
        ("", "column 1: the expression is empty: leave it out, or write one"),
        (
            "1",
            "column 1: a number is neither true nor false, which a filter needs: compare it, or write boolean(…)",
        ),
        (r#"properties["a"] = 1"#, "column 17: `=` means nothing here: to compare, write `==`"),
        ("true && false", "column 6: `&` means nothing here: write `and`"),
        ("!true", "column 1: `!` means nothing here: write `not`, or `!=` to compare"),
        (
            "true AND false",
            "column 6: `AND` is not expected here: put an operator such as `and` or `==` in front of it",
        ),
        ("NOT true", "column 1: `NOT` is not known: write `not`"),
        (
            "x == 1",
            "column 1: `x` is not known: strings stand in quotes, properties are written as properties[\"name\"], and functions are defined, boolean, number, string, datetime, floor, round, ceil, has_prefix",
        ),
        (r#"properties["a"] == null"#, "column 20: `null` is not known: write defined(…) or not defined(…)"),
        (
            "properties.a == 1",
            "column 11: `.` means nothing here: properties are written as properties[\"$name\"]",
        ),
        ("properties[a] == 1", "column 12: `a` is not expected here: write properties[\"name\"]"),
        (
            r#"properties["a"]["b"] == 1"#,
            "column 16: `[` is not expected here: what lies inside of a property cannot be looked at",
        ),
        (r#"properties["a" == 1"#, "column 16: `==` is not expected here: write properties[\"name\"]"),
        (r#"true and "é" == 'open"#, "column 17: the string that begins here does not end: put ' behind it"),
        (
            r#""\x" == "a""#,
            r#"column 2: \x is no escape: there are \" \' \\ \/ \b \f \n \r \t and \u with four hex digits; write \\ for a backslash"#,
        ),
        (
            "(true",
            "column 6: the end is not expected here: close the bracket with `)`, or put an operator between",
        ),
        ("true)", "column 5: `)` is not expected here: there is nothing that it closes: leave it out"),
        ("1 +", "column 4: the end is not expected here: a value belongs here, such as properties[\"name\"]"),
        (
            "1 2",
            "column 3: the number 2 is not expected here: put an operator such as `and` or `==` in front of it",
        ),
        ("12ab == 1", "column 1: the number 12 runs into a word: put a space or an operator behind it"),
        ("1e999 == 1", "column 1: the number 1e999 is too large: the largest is 1.7976931348623157e308"),
        (
            "1 in [1 2]",
            "column 9: the number 2 is not expected here: put a comma between items, and `]` behind the last one",
        ),
        (
            "1 in [properties]",
            "column 7: `properties` is not expected here: a list holds strings, numbers, true and false",
        ),
        ("defined 1", "column 9: the number 1 is not expected here: write defined(a)"),
        (r#"has_prefix("a")"#, "column 15: `)` is not expected here: write has_prefix(a, b)"),
        ("1 not 2", "column 3: `not` is not expected here: between two operands there is `not in` only"),
        ("“a” == 1", "column 1: `“` means nothing here: write straight quotes"),
    ] {
        assert_eq!(error(text), told, "{text}");
    }
}

#[test]
fn reading_is_bounded_in_length_depth_terms_names_and_items() {
    let nested = |n: usize| format!("{}true{}", "not (".repeat(n), ")".repeat(n));
    assert!(Expression::parse(&nested(DEPTH_MAX - 2)).is_ok());
    let sum = |n: usize| format!("1{} == 1", " + 1".repeat(n));
    assert!(Expression::parse(&sum(DEPTH_MAX - 2)).is_ok());
    let many = |n: usize| vec!["true"; n].join(" and ");
    assert!(Expression::parse(&many(400)).is_ok());
    let named =
        |n: usize| (0..n).map(|i| format!("properties[\"{i}\"] == 1")).collect::<Vec<_>>().join(" or ");
    assert!(Expression::parse(&named(NAMES_MAX)).is_ok());
    let listed = |n: usize| format!("1 in [{}]", vec!["1"; n].join(","));
    assert!(Expression::parse(&listed(LIST_LEN_MAX)).is_ok());
    for (text, told) in [
        (nested(DEPTH_MAX + 1), "levels: take some brackets"),
        ("(".repeat(5000), "levels: take some brackets"),
        ("-".repeat(5000), "levels: take some brackets"),
        (sum(DEPTH_MAX + 1), "levels: take some brackets"),
        (many(TERMS_MAX), "terms and operators"),
        (named(NAMES_MAX + 1), "properties are named"),
        (listed(LIST_LEN_MAX + 1), "items: ask in several"),
        ("x".repeat(LENGTH_MAX + 1), "bytes, and 32768 are read"),
    ] {
        let error = error(&text);
        assert!(error.contains(told) && error.len() < 200, "{error}");
    }
}
