//! The first elements of a JSON array, as text.

use std::borrow::Cow;

/// The first `count` elements of an array that is given as JSON, as an array; any other value
/// whole.
pub fn first_elements(json: &str, count: u64) -> Cow<'_, str> {
    if !json.starts_with('[') {
        return Cow::Borrowed(json);
    }
    let (mut depth, mut commas) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in json.bytes().enumerate() {
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => {
                commas += 1;
                if commas == count {
                    let first = json.get(..at).unwrap_or_default();
                    return Cow::Owned(format!("{first}]"));
                }
            }
            _ => {}
        }
    }
    Cow::Borrowed(json)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn element() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(1)),
            Just(json!("a,]\"[\\")),
            Just(json!("\\")),
            Just(json!({"a,": [1, {}]})),
        ];
        leaf.prop_recursive(3, 8, 3, |inner| {
            prop::collection::vec(inner, 0..3).prop_map(Value::Array)
        })
    }

    proptest! {
        #[test]
        fn elements_are_the_first(
            elements in prop::collection::vec(element(), 0..5),
            count in 1..6_usize,
        ) {
            let whole = json!(elements).to_string();
            let first: Vec<&Value> = elements.iter().take(count).collect();
            prop_assert_eq!(first_elements(&whole, count as u64), json!(first).to_string());
        }

        #[test]
        fn other_values_stay_whole(value in element(), count in 1..3_u64) {
            let value = json!({"a": value, "b": [1, 2]}).to_string();
            prop_assert_eq!(first_elements(&value, count), value.as_str());
        }
    }
}
