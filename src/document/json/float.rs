//! Doubles as CouchDB writes them into JSON, and as Erlang prints them.
//!
//! Both use the fewest digits that read back as the same double; they differ in when they take
//! the notation with an exponent.

/// The digits of the magnitude, and the power of ten of the first of them.
fn shortest(double: f64) -> (String, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(double.abs());
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, rest].concat();
    let significant = digits.trim_start_matches('0');
    let before_point = i32::try_from(whole.len()).unwrap_or_default();
    let zeros = i32::try_from(digits.len() - significant.len()).unwrap_or_default();
    let power: i32 = power.parse().unwrap_or_default();
    let significant = significant.trim_end_matches('0');
    let significant = if significant.is_empty() { "0" } else { significant };
    (significant.to_owned(), power + before_point - 1 - zeros)
}

/// A double as CouchDB's JSON encoder writes it: `1.0`, `1e-7`, `1.5e+21`.
#[must_use]
pub fn write_float(double: f64) -> String {
    const DECIMAL: std::ops::Range<i32> = -6..21;
    if double == 0.0 {
        return if double.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    let (digits, exponent) = shortest(double);
    let sign = if double < 0.0 { "-" } else { "" };
    if DECIMAL.contains(&exponent) {
        return decimal(sign, &digits, exponent);
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}e{exponent:+}")
}

/// The number `d.ddd` times ten to the power of `exponent` without an exponent.
fn decimal(sign: &str, digits: &str, exponent: i32) -> String {
    let mut out = String::with_capacity(32);
    out.push_str(sign);
    let Ok(whole) = usize::try_from(exponent) else {
        out.push_str("0.");
        out.extend((exponent + 1..0).map(|_| '0'));
        out.push_str(digits);
        return out;
    };
    match digits.split_at_checked(whole + 1) {
        Some((whole, rest)) => {
            out.push_str(whole);
            out.push('.');
            out.push_str(if rest.is_empty() { "0" } else { rest });
        }
        None => {
            out.push_str(digits);
            out.extend((digits.len()..=whole).map(|_| '0'));
            out.push_str(".0");
        }
    }
    out
}

/// A double as Erlang prints it: in decimal notation where that is not longer than the scientific
/// one and the number is below 2^53.
#[must_use]
pub fn print_float(double: f64) -> String {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let (digits, exponent) = shortest(double);
    let (first, rest) = digits.split_at(1);
    let rest = if rest.is_empty() { "0" } else { rest };
    let scientific = format!("{first}.{rest}e{exponent}");
    let decimal = format!("{:?}", double.abs());
    let fits = double.abs() < WHOLE_MAX && !decimal.contains('e');
    let sign = if double.is_sign_negative() { "-" } else { "" };
    let short = fits && decimal.len() <= scientific.len();
    format!("{sign}{}", if short { decimal } else { scientific })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn floats_read_as_couchdb_writes_them() {
        let table = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (1.5e-10, "1.5e-10"),
            (1e20, "100000000000000000000.0"),
            (1e21, "1e+21"),
            (-1.25e300, "-1.25e+300"),
        ];
        for (double, text) in table {
            assert_eq!(write_float(double), text);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), double.to_bits());
        }
    }

    proptest! {
        #[test]
        fn digits_are_the_fewest(bits: u64, near in -400_000_000..400_000_000_i64) {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let prices = near as f64 / 1000.0;
            for double in [f64::from_bits(bits), prices] {
                if !double.is_finite() || double == 0.0 {
                    continue;
                }
                let text = format!("{:e}", double.abs());
                let (mantissa, exponent) = text.split_once('e').unwrap();
                let expect = (mantissa.replace('.', ""), exponent.parse().unwrap());
                prop_assert_eq!(shortest(double), expect);
                prop_assert_eq!(write_float(double).parse(), Ok(double));
            }
        }
    }

    #[test]
    fn floats_print_as_erlang_prints_them() {
        let table = [
            (0.0, "0.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (1000.0, "1.0e3"),
            (123_456.0, "123456.0"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.00001, "1.0e-5"),
            (0.000_012_345, "1.2345e-5"),
            (1e20, "1.0e20"),
            (9_007_199_254_740_991.0, "9007199254740991.0"),
            (9_007_199_254_740_992.0, "9.007199254740992e15"),
            (1.7e308, "1.7e308"),
        ];
        for (double, text) in table {
            assert_eq!(print_float(double), text);
        }
    }
}
