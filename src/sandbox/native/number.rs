//! Numbers from texts and texts from numbers, as JavaScript does it.

use super::text::is_space;

/// Writes numbers in their shortest form.
pub(super) struct Digits {
    buffer: ryu_js::Buffer,
}

impl Digits {
    pub fn new() -> Self {
        Self { buffer: ryu_js::Buffer::new() }
    }

    /// What `String(number)` is.
    pub fn of(&mut self, number: f64) -> &str {
        self.buffer.format(number)
    }
}

/// What `Number(text)` is; none where it might be rounded.
pub(super) fn of_text(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    if text.is_empty() {
        return Some(0.0);
    }
    let radix = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => {
            let end = decimal_end(text);
            return Some(if end == text.len() { decimal(text) } else { f64::NAN });
        }
    };
    match text.get(2..) {
        Some(digits) if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)) => {
            of_digits(digits, radix)
        }
        _ => Some(f64::NAN),
    }
}

/// The number that begins a text, if there is one: `parseFloat`.
pub(super) fn parse_float(text: &str) -> f64 {
    let text = text.trim_start_matches(is_space);
    text.get(..decimal_end(text)).filter(|number| !number.is_empty()).map_or(f64::NAN, decimal)
}

/// Digits beyond which `parseInt` may round where it likes.
const EXACT_DIGITS: usize = 15;

/// `parseInt`; none where it might round.
pub(super) fn parse_int(text: &str, radix: Option<u32>) -> Option<f64> {
    let text = text.trim_start_matches(is_space);
    let (sign, text) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, text.get(1..)?),
        Some(b'+') => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    let hexadecimal = matches!(text.as_bytes(), [b'0', b'x' | b'X', ..]);
    let (radix, text) = match radix {
        None | Some(16) if hexadecimal => (16, text.get(2..)?),
        None => (10, text),
        Some(radix) => (radix, text),
    };
    let end = text.find(|digit: char| !digit.is_digit(radix)).unwrap_or(text.len());
    let digits = text.get(..end)?;
    if digits.is_empty() {
        return Some(f64::NAN);
    }
    let exact = digits.len() <= if radix == 10 { EXACT_DIGITS } else { 8 };
    if exact { of_digits(digits, radix).map(|number| sign * number) } else { None }
}

#[expect(clippy::cast_precision_loss, reason = "they have at most 53 bits")]
fn of_digits(digits: &str, radix: u32) -> Option<f64> {
    let number = u64::from_str_radix(digits, radix).ok()?;
    (number < 1 << 53).then_some(number as f64)
}

/// Where the decimal literal that begins a text ends.
fn decimal_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    if text.get(sign..).is_some_and(|rest| rest.starts_with("Infinity")) {
        return sign + "Infinity".len();
    }
    let whole = digits(sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return 0;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return 0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

/// The value of a decimal literal.
pub(super) fn decimal(literal: &str) -> f64 {
    match literal.trim_start_matches(['-', '+']) {
        "Infinity" if literal.starts_with('-') => f64::NEG_INFINITY,
        "Infinity" => f64::INFINITY,
        _ => literal.parse().unwrap_or(f64::NAN),
    }
}

/// `ToInt32`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "the remainder is below 2^32"
)]
pub(super) fn to_int32(number: f64) -> i32 {
    if !number.is_finite() {
        return 0;
    }
    number.trunc().rem_euclid(4_294_967_296.0) as u64 as u32 as i32
}

/// `ToIntegerOrInfinity`.
pub(super) fn to_integer(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.trunc() }
}

/// A relative position as `slice` takes it: negative ones count from the end.
pub(super) fn relative(position: f64, length: usize) -> usize {
    let position = to_integer(position);
    clamped(if position < 0.0 { position + of_length(length) } else { position }, length)
}

/// A position within `0..=length`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
pub(super) fn clamped(position: f64, length: usize) -> usize {
    if position <= 0.0 {
        0
    } else if position >= of_length(length) {
        length
    } else {
        position as usize
    }
}

/// The index that a number is, if it is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "it is compared with what it was"
)]
pub(super) fn index_of(number: f64) -> Option<u32> {
    let index = number as u32;
    (f64::from(index) == number && index < u32::MAX).then_some(index)
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52")]
pub(super) fn of_length(length: usize) -> f64 {
    length as f64
}
