//! A selector that is taken answers for every document, and its normal form and its projection
//! answer alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use settee_fuzz::mango::selector::{Projection, Selector};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (Some(selector), Some(document)) = (parts.next(), parts.next()) else { return };
    let Ok(selector) = serde_json::from_slice::<Value>(selector) else { return };
    let Ok(selector) = Selector::parse(&selector) else { return };
    let Ok(value) = serde_json::from_slice::<Value>(document) else { return };
    if !value.is_object() {
        return;
    }
    let matches = |selector: &Selector, value: &Value| {
        selector.matches(value).map_err(|error| error.to_string())
    };
    let found = matches(&selector, &value);
    let normal = Selector::parse(&selector.to_json()).expect("the normal form is a selector");
    assert_eq!(matches(&normal, &value), found);
    let text = serde_json::to_vec(&value).expect("JSON");
    if let Some(projected) = Projection::of_selector(&selector).read(&text) {
        assert_eq!(matches(&selector, &projected), found);
    }
});
