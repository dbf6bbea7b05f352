//! Values of native functions, and what JavaScript makes of them.
//!
//! Strings are well formed: where JavaScript would take a character apart, the engine takes over.
//! Values of the document are places in it and never change; arrays and objects that the function
//! makes live in the arena of the document's run.

use std::cell::RefCell;
use std::cmp::Ordering;

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

use super::document::NodeId;
use super::number;

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// A `let` before its declaration.
    Unborn,
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(&'a str),
    /// An array of the document.
    DocumentArray(NodeId),
    /// An object of the document.
    DocumentObject(NodeId),
    Array(&'a Array<'a>),
    Object(&'a Object<'a>),
    Function(u16),
}

#[derive(Debug)]
pub(super) struct Array<'a> {
    pub items: RefCell<ArenaVec<'a, Value<'a>>>,
}

impl<'a> Array<'a> {
    pub fn new_in(arena: &'a Bump, items: ArenaVec<'a, Value<'a>>) -> Value<'a> {
        Value::Array(arena.alloc(Self { items: RefCell::new(items) }))
    }
}

/// The members are in the order in which they came to be.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub members: RefCell<ArenaVec<'a, (&'a str, Value<'a>)>>,
}

impl<'a> Object<'a> {
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members.borrow().iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub fn set(&self, name: &'a str, value: Value<'a>) {
        let mut members = self.members.borrow_mut();
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some(member) => member.1 = value,
            None => members.push((name, value)),
        }
    }
}

/// The function cannot go on natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The engine must run it for this document.
    Engine,
    /// It threw; the machine knows what.
    Thrown,
}

pub(super) type Answer<T> = Result<T, Stop>;

impl Value<'_> {
    pub fn is_truthy(self) -> bool {
        match self {
            Value::Unborn | Value::Undefined | Value::Null => false,
            Value::Bool(value) => value,
            Value::Number(number) => !(number == 0.0 || number.is_nan()),
            Value::Text(text) => !text.is_empty(),
            _ => true,
        }
    }

    pub fn is_nullish(self) -> bool {
        matches!(self, Value::Undefined | Value::Null)
    }

    /// What `typeof` says.
    pub fn type_name(self) -> &'static str {
        match self {
            Value::Unborn | Value::Undefined => "undefined",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::Text(_) => "string",
            Value::Function(_) => "function",
            _ => "object",
        }
    }

    /// `ToNumber`; of an object only the engine knows it.
    pub fn to_number(self) -> Answer<f64> {
        Ok(match self {
            Value::Undefined => f64::NAN,
            Value::Null => 0.0,
            Value::Bool(value) => f64::from(u8::from(value)),
            Value::Number(number) => number,
            Value::Text(text) => number::of_text(text).ok_or(Stop::Engine)?,
            _ => return Err(Stop::Engine),
        })
    }

    pub fn strictly_equals(self, other: Self) -> Answer<bool> {
        Ok(match (self, other) {
            (Value::Undefined, Value::Undefined) | (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(two)) => one == two,
            (Value::Number(one), Value::Number(two)) => equal_numbers(one, two),
            (Value::Text(one), Value::Text(two)) => one == two,
            (Value::DocumentArray(one), Value::DocumentArray(two))
            | (Value::DocumentObject(one), Value::DocumentObject(two)) => one == two,
            (Value::Array(one), Value::Array(two)) => std::ptr::eq(one, two),
            (Value::Object(one), Value::Object(two)) => std::ptr::eq(one, two),
            (Value::Function(_), _) | (_, Value::Function(_)) => return Err(Stop::Engine),
            _ => false,
        })
    }

    pub fn loosely_equals(self, other: Self) -> Answer<bool> {
        let (one, two) = match (self, other) {
            (Value::Undefined | Value::Null, Value::Undefined | Value::Null) => return Ok(true),
            (Value::Undefined | Value::Null, _) | (_, Value::Undefined | Value::Null) => {
                return Ok(false);
            }
            (
                Value::Bool(_) | Value::Number(_),
                Value::Number(_) | Value::Bool(_) | Value::Text(_),
            )
            | (Value::Text(_), Value::Number(_) | Value::Bool(_)) => {
                (self.to_number()?, other.to_number()?)
            }
            _ if self.is_primitive() != other.is_primitive() => return Err(Stop::Engine),
            _ => return self.strictly_equals(other),
        };
        Ok(equal_numbers(one, two))
    }

    pub fn is_primitive(self) -> bool {
        matches!(
            self,
            Value::Undefined | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_)
        )
    }

    /// How two values compare with `<` and the like; none where one is not a number.
    pub fn compare(self, other: Self) -> Answer<Option<Ordering>> {
        if let (Value::Text(one), Value::Text(two)) = (self, other) {
            return Ok(Some(compare_texts(one, two)));
        }
        Ok(self.to_number()?.partial_cmp(&other.to_number()?))
    }
}

impl<'a> Value<'a> {
    /// `ToString`; of an object only the engine knows it.
    pub fn text_in(self, arena: &'a Bump) -> Answer<&'a str> {
        Ok(match self {
            Value::Undefined => "undefined",
            Value::Null => "null",
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Number(number) => arena.alloc_str(number::Digits::new().of(number)),
            Value::Text(text) => text,
            _ => return Err(Stop::Engine),
        })
    }
}

#[expect(clippy::float_cmp, reason = "that is what JavaScript does")]
fn equal_numbers(one: f64, two: f64) -> bool {
    one == two
}

/// By UTF-16 units, which is not the order of characters beyond the basic plane.
pub(super) fn compare_texts(one: &str, two: &str) -> Ordering {
    if one.is_ascii() || two.is_ascii() {
        return one.as_bytes().cmp(two.as_bytes());
    }
    one.encode_utf16().cmp(two.encode_utf16())
}
