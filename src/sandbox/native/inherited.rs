//! The names that values have from their prototypes.
//!
//! A member that a value has not itself may come from there: then the engine is asked.

use super::value::Value;

/// The names that all values have.
pub(super) const OF_ALL: [&str; 12] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// The names that only arrays, strings, numbers or booleans have.
pub(super) const OF_SOME: [&str; 81] = [
    "anchor",
    "at",
    "big",
    "blink",
    "bold",
    "charAt",
    "charCodeAt",
    "codePointAt",
    "concat",
    "copyWithin",
    "endsWith",
    "entries",
    "every",
    "fill",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "fixed",
    "flat",
    "flatMap",
    "fontcolor",
    "fontsize",
    "forEach",
    "includes",
    "indexOf",
    "isWellFormed",
    "italics",
    "join",
    "keys",
    "lastIndexOf",
    "link",
    "localeCompare",
    "map",
    "match",
    "matchAll",
    "normalize",
    "padEnd",
    "padStart",
    "pop",
    "push",
    "reduce",
    "reduceRight",
    "repeat",
    "replace",
    "replaceAll",
    "reverse",
    "search",
    "shift",
    "slice",
    "small",
    "some",
    "sort",
    "splice",
    "split",
    "startsWith",
    "strike",
    "sub",
    "substr",
    "substring",
    "sup",
    "toExponential",
    "toFixed",
    "toLocaleLowerCase",
    "toLocaleUpperCase",
    "toLowerCase",
    "toPrecision",
    "toReversed",
    "toSorted",
    "toSpliced",
    "toUpperCase",
    "toWellFormed",
    "trim",
    "trimEnd",
    "trimLeft",
    "trimRight",
    "trimStart",
    "unshift",
    "values",
    "with",
];

/// Which values have a member of some name from their prototypes; others are those that are not
/// plain objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inherited {
    Nobody,
    Others,
    Everyone,
}

impl Inherited {
    pub fn of(name: &str) -> Self {
        if OF_ALL.binary_search(&name).is_ok() {
            Self::Everyone
        } else if OF_SOME.binary_search(&name).is_ok() {
            Self::Others
        } else {
            Self::Nobody
        }
    }

    /// Whether a value may have the member though it is not its own.
    pub fn by(self, value: Value<'_>) -> bool {
        match self {
            Self::Nobody => false,
            Self::Others => !matches!(value, Value::DocumentObject(_) | Value::Object(_)),
            Self::Everyone => true,
        }
    }
}
