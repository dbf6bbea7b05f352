//! Mends JSON in which half a surrogate pair stands alone.
//!
//! JavaScript can take strings apart in the middle of a character; no other JSON parser here takes
//! what becomes of them. The engine writes such halves as escapes, and nothing else.

/// `json` with U+FFFD in the place of surrogates that stand alone.
pub(super) fn well_formed(json: String) -> String {
    if !json.contains("\\ud") {
        return json;
    }
    let mut mended = String::with_capacity(json.len());
    let mut rest = &*json;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        let is_surrogate = escape.starts_with("\\ud");
        let Some((escape, after)) = escape.split_at_checked(if is_surrogate { 6 } else { 2 })
        else {
            break;
        };
        mended.push_str(before);
        mended.push_str(if is_surrogate { "\u{fffd}" } else { escape });
        rest = after;
    }
    mended.push_str(rest);
    mended
}

#[cfg(test)]
mod tests {
    use super::well_formed;

    fn check(json: &str, expect: &str) {
        assert_eq!(well_formed(json.to_owned()), expect);
    }

    #[test]
    fn only_lone_surrogates_are_replaced() {
        check(
            r#"["a\ud800","\\ud800","\n\udfff\"\udc00"]"#,
            "[\"a\u{fffd}\",\"\\\\ud800\",\"\\n\u{fffd}\\\"\u{fffd}\"]",
        );
        check(r#"["\\\ud800é\\"]"#, "[\"\\\\\u{fffd}é\\\\\"]");
        check(r#"["😀\u0000"]"#, r#"["😀\u0000"]"#);
    }
}
