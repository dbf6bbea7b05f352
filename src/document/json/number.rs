//! JSON numbers: where they end and what they are worth.
//!
//! Erlang tells integers (of any size) from floats by the text: a fraction or an exponent makes a
//! float. The text itself is what a document keeps.

/// What a number is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// An integer of at most 18 digits.
    Small(i64),
    /// An integer of this many digits.
    Long(usize),
    Float(f64),
}

/// A number as it stands in a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number<'t> {
    pub text: &'t str,
    pub value: Value,
}

/// The most digits that an `i64` takes in any case.
const SMALL_DIGITS_MAX: usize = 18;

/// Reads the number that begins at `at`; `None` where there is none or where a double cannot
/// hold it.
pub fn read(text: &str, at: usize) -> Option<Number<'_>> {
    let bytes = text.as_bytes();
    let negative = bytes.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let (magnitude, mut end) = read_integer(bytes, first)?;
    let digits = end - first;
    let mut float = false;
    if bytes.get(end) == Some(&b'.') {
        end = skip_digits(bytes, end + 1)?;
        float = true;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = skip_digits(bytes, end + 1 + usize::from(signed))?;
        float = true;
    }
    let text = text.get(at..end)?;
    let value = if float {
        Value::Float(text.parse().ok().filter(|value: &f64| value.is_finite())?)
    } else if digits <= SMALL_DIGITS_MAX {
        Value::Small(if negative { -magnitude } else { magnitude })
    } else {
        Value::Long(digits)
    };
    Some(Number { text, value })
}

/// The integer at `at` (without a sign) and its end. Above 18 digits the value is meaningless.
fn read_integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut value: i64 = 0;
    let mut end = at;
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        end += 1;
    }
    let leading_zero = bytes.get(at) == Some(&b'0') && end - at > 1;
    (end > at && !leading_zero).then_some((value, end))
}

/// The end of the digits at `at`; `None` where there is not one.
fn skip_digits(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    (count > 0).then_some(at + count)
}
