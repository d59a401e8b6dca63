//! The words of an expression: names, literals, signs, each with the column at which it begins.

use std::{borrow::Cow, fmt};

use crate::ParseError;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'t> {
    /// A name: of a function, an operator, a literal.
    Word(&'t str),
    /// A string, escapes resolved.
    Text(Cow<'t, str>),
    /// A number.
    Number(f64),
    /// An operator or bracket.
    Sign(&'static str),
    /// Nothing more comes.
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "`{}`", clip(word)),
            Token::Text(text) => write!(f, "the string {:?}", clip(text)),
            Token::Number(number) => write!(f, "the number {number}"),
            Token::Sign(sign) => write!(f, "`{sign}`"),
            Token::End => f.write_str("the end"),
        }
    }
}

/// So much of a word as is useful in a sentence.
pub(crate) fn clip(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Longer signs stand before those they begin with.
const SIGNS: [&str; 16] =
    ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ","];

/// Takes a text apart.
pub(crate) struct Tokens<'t> {
    text: &'t str,
    at: usize,
    /// Of `at`, from 1, in characters.
    column: usize,
}

impl<'t> Tokens<'t> {
    pub(crate) fn of(text: &'t str) -> Tokens<'t> {
        Tokens { text, at: 0, column: 1 }
    }

    /// What is still to be taken apart.
    pub(crate) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn step(&mut self, bytes: usize) -> &'t str {
        let taken = &self.text[self.at..self.at + bytes];
        self.at += bytes;
        self.column += taken.chars().count();
        taken
    }

    /// The next one, and its column.
    pub(crate) fn next(&mut self) -> Result<(Token<'t>, usize), ParseError> {
        let rest = self.rest();
        self.step(rest.len() - rest.trim_start().len());
        let (rest, column) = (self.rest(), self.column);
        let Some(first) = rest.chars().next() else { return Ok((Token::End, column)) };
        let token = match first {
            '"' | '\'' => Token::Text(self.string(first)?),
            '0'..='9' => self.number()?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
            c if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                Token::Word(self.step(end))
            }
            other => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => {
                    self.step(sign.len());
                    Token::Sign(sign)
                }
                None => return Err(unknown_sign(column, other)),
            },
        };
        Ok((token, column))
    }

    fn number(&mut self) -> Result<Token<'t>, ParseError> {
        let (rest, column) = (self.rest(), self.column);
        let digits = |from: usize| from + rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(0);
        if rest[end..].starts_with('.') {
            end = digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let behind = digits(end + 1 + sign);
            if behind > end + 1 + sign {
                end = behind;
            }
        }
        let written = self.step(end);
        if self.rest().starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            let what = format!(
                "the number {} runs into a word: put a space or an operator behind it",
                clip(written)
            );
            return Err(ParseError { column, what });
        }
        let number: f64 = written.parse().unwrap_or(f64::INFINITY);
        if number.is_finite() {
            return Ok(Token::Number(number));
        }
        let what = format!("the number {} is too large: the largest is {:e}", clip(written), f64::MAX);
        Err(ParseError { column, what })
    }

    fn string(&mut self, quote: char) -> Result<Cow<'t, str>, ParseError> {
        let column = self.column;
        self.step(1);
        let rest = self.rest();
        let plain = rest.find([quote, '\\']).unwrap_or(rest.len());
        let mut text = Cow::Borrowed(self.step(plain));
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.step(1);
                return Ok(text);
            }
            if rest.is_empty() {
                let what = format!("the string that begins here does not end: put {quote} behind it");
                return Err(ParseError { column, what });
            }
            if rest.starts_with('\\') {
                text.to_mut().push(self.escape()?);
            }
            let rest = self.rest();
            let plain = rest.find([quote, '\\']).unwrap_or(rest.len());
            text.to_mut().push_str(self.step(plain));
        }
    }

    /// What the escape that comes next means, as in JSON.
    fn escape(&mut self) -> Result<char, ParseError> {
        let column = self.column;
        self.step(1);
        let unknown = |what: &str| ParseError {
            column,
            what: format!(
                r#"{what} is no escape: there are \" \' \\ \/ \b \f \n \r \t and \u with four hex digits; write \\ for a backslash"#
            ),
        };
        let Some(letter) = self.rest().chars().next() else { return Err(unknown("a backslash alone")) };
        self.step(letter.len_utf8());
        Ok(match letter {
            '"' | '\'' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let wrong = || unknown(r"\u with other than four hex digits, or half of a pair,");
                let high = self.unit().ok_or_else(wrong)?;
                let code = match high {
                    0xd800..=0xdbff => {
                        if !self.rest().starts_with("\\u") {
                            return Err(wrong());
                        }
                        self.step(2);
                        let low =
                            self.unit().filter(|low| (0xdc00..=0xdfff).contains(low)).ok_or_else(wrong)?;
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    alone => alone,
                };
                char::from_u32(code).ok_or_else(wrong)?
            }
            other => return Err(unknown(&format!("\\{other}"))),
        })
    }

    /// Four hex digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let unit = u32::from_str_radix(digits, 16).ok()?;
        self.step(4);
        Some(unit)
    }
}

fn unknown_sign(column: usize, sign: char) -> ParseError {
    let hint = match sign {
        '=' => "to compare, write `==`",
        '&' => "write `and`",
        '|' => "write `or`",
        '!' => "write `not`, or `!=` to compare",
        '“' | '”' | '„' | '‘' | '’' => "write straight quotes",
        '$' | '.' => "properties are written as properties[\"$name\"]",
        _ => "strings stand in quotes, properties are written as properties[\"name\"]",
    };
    ParseError { column, what: format!("`{sign}` means nothing here: {hint}") }
}
