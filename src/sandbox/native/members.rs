//! Members of values: reading them, changing those of the function's own objects, listing names.

use bumpalo::collections::Vec as ArenaVec;

use super::document::{Document, Kind, NodeId};
use super::inherited::Inherited;
use super::json::{Writer, ordered};
use super::machine::Machine;
use super::number::{self, Digits, index_of, of_length};
use super::text;
use super::value::{Answer, Array, Stop, Value};

/// An object of the function with more members is the engine's, for names are compared one by one.
const MEMBERS_MAX: usize = 128;

/// The JSON of one value may have so many bytes.
const JSON_BYTES_MAX: usize = 4 << 20;

impl<'a> Machine<'a> {
    /// Throws for the member of a value that has none. What the engine says of odd names is its
    /// own affair.
    pub fn no_member(&mut self, value: Value<'a>, name: &str) -> Stop {
        const NAME_BYTES_MAX: usize = 60;
        if name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return Stop::Engine;
        }
        let value = if matches!(value, Value::Null) { "null" } else { "undefined" };
        self.thrown = Some(format!("cannot read property '{name}' of {value}"));
        Stop::Thrown
    }

    /// The value of a node.
    pub fn value_of(&mut self, id: NodeId) -> Answer<Value<'a>> {
        let node = self.document.node(id);
        Ok(match node.kind {
            Kind::Null => Value::Null,
            Kind::False => Value::Bool(false),
            Kind::True => Value::Bool(true),
            Kind::Number => Value::Number(number::decimal(self.document.raw(node))),
            Kind::Text => Value::Text(self.document.raw(node)),
            Kind::Escaped => {
                let text = self.document.unescaped(node);
                self.charge(text.len())?;
                Value::Text(self.arena.alloc_str(&text))
            }
            Kind::Array => Value::DocumentArray(id),
            Kind::Object => Value::DocumentObject(id),
        })
    }

    /// The length of an array.
    pub fn array_length(&self, array: Value<'a>) -> Option<usize> {
        match array {
            Value::DocumentArray(id) => Some(self.document.node(id).length as usize),
            Value::Array(array) => Some(array.items.borrow().len()),
            _ => None,
        }
    }

    /// An array's element, undefined beyond its end.
    pub fn element(&mut self, array: Value<'a>, index: usize) -> Answer<Value<'a>> {
        match array {
            Value::DocumentArray(id) => {
                let index = u32::try_from(index).map_err(|_| Stop::Engine)?;
                match self.document.element(id, index, &mut self.cursor) {
                    Some(node) => self.value_of(node),
                    None => Ok(Value::Undefined),
                }
            }
            Value::Array(array) => {
                Ok(array.items.borrow().get(index).copied().unwrap_or(Value::Undefined))
            }
            _ => Err(Stop::Engine),
        }
    }

    /// The member that a value has itself.
    pub fn own_member(&mut self, value: Value<'a>, name: &str) -> Answer<Option<Value<'a>>> {
        match value {
            Value::DocumentObject(id) => match self.document.member(id, name) {
                Some(node) => self.value_of(node).map(Some),
                None => Ok(None),
            },
            Value::Object(object) => Ok(object.get(name)),
            Value::DocumentArray(_) | Value::Array(_) => match (name, self.array_length(value)) {
                ("length", Some(length)) => Ok(Some(Value::Number(of_length(length)))),
                _ => match super::document::array_index(name) {
                    Some(index) => self.element_if_any(value, index as usize),
                    None => Ok(None),
                },
            },
            Value::Text(text) => {
                if name == "length" {
                    self.charge(text.len() / 4)?;
                    return Ok(Some(Value::Number(of_length(text::units(text)))));
                }
                match super::document::array_index(name) {
                    Some(index) => self.character(text, index as usize),
                    None => Ok(None),
                }
            }
            Value::Bool(_) | Value::Number(_) => Ok(None),
            Value::Undefined | Value::Null => Err(self.no_member(value, name)),
            Value::Unborn | Value::Function(_) => Err(Stop::Engine),
        }
    }

    fn element_if_any(&mut self, array: Value<'a>, index: usize) -> Answer<Option<Value<'a>>> {
        if self.array_length(array).is_some_and(|length| index < length) {
            self.element(array, index).map(Some)
        } else {
            Ok(None)
        }
    }

    fn character(&mut self, text: &'a str, index: usize) -> Answer<Option<Value<'a>>> {
        self.charge(text.len() / 4)?;
        Ok(text::unit_at(text, index)?.map(Value::Text))
    }

    /// The member whose name is a value.
    pub fn indexed(&mut self, object: Value<'a>, name: Value<'a>) -> Answer<Value<'a>> {
        if let Value::Number(number) = name
            && let Some(index) = index_of(number)
        {
            match object {
                Value::DocumentArray(_) | Value::Array(_) => {
                    return self.element(object, index as usize);
                }
                Value::Text(text) => {
                    let character = self.character(text, index as usize)?;
                    return Ok(character.unwrap_or(Value::Undefined));
                }
                _ => {}
            }
        }
        let name = name.text_in(self.arena)?;
        match self.own_member(object, name)? {
            Some(value) => Ok(value),
            None if Inherited::of(name).by(object) => Err(Stop::Engine),
            None => Ok(Value::Undefined),
        }
    }

    /// Changes a member of an object or an array that the function has made.
    pub fn set_member(
        &mut self,
        object: Value<'a>,
        name: Value<'a>,
        value: Value<'a>,
    ) -> Answer<()> {
        if matches!(value, Value::Function(_)) {
            return Err(Stop::Engine);
        }
        self.step()?;
        match (object, name) {
            (Value::Array(array), Value::Number(number)) => {
                let index = index_of(number).ok_or(Stop::Engine)? as usize;
                let mut items = array.items.borrow_mut();
                if index == items.len() {
                    items.push(value);
                    return Ok(());
                }
                *items.get_mut(index).ok_or(Stop::Engine)? = value;
                Ok(())
            }
            (Value::Object(object), _) => {
                let name = name.text_in(self.arena)?;
                let full = object.members.borrow().len() >= MEMBERS_MAX;
                if full || name == "__proto__" {
                    return Err(Stop::Engine);
                }
                object.set(name, value);
                Ok(())
            }
            _ => Err(Stop::Engine),
        }
    }

    /// What `name in object` is.
    pub fn is_member(&mut self, name: Value<'a>, object: Value<'a>) -> Answer<Value<'a>> {
        if object.is_primitive() {
            return Err(Stop::Engine);
        }
        let name = name.text_in(self.arena)?;
        let has = self.own_member(object, name)?.is_some();
        if !has && Inherited::of(name).by(object) {
            return Err(Stop::Engine);
        }
        Ok(Value::Bool(has))
    }

    /// The names of a value's own members, as a loop goes through them.
    pub fn names(&mut self, value: Value<'a>) -> Answer<ArenaVec<'a, &'a str>> {
        let mut names = ArenaVec::new_in(self.arena);
        match value {
            Value::DocumentObject(id) => {
                self.charge(8 * self.document.node(id).length as usize)?;
                for member in self.document.members(id) {
                    if let Value::Text(name) = self.value_of(member.name)? {
                        names.push(name);
                    }
                }
            }
            Value::Object(object) => {
                names.extend(ordered(object).into_iter().map(|(name, _)| name));
            }
            Value::DocumentArray(_) | Value::Array(_) => {
                let length = self.array_length(value).unwrap_or_default();
                self.charge(8 * length)?;
                for index in 0..length {
                    names.push(self.arena.alloc_str(self.digits.of(of_length(index))));
                }
            }
            Value::Bool(_) | Value::Number(_) => {}
            _ => return Err(Stop::Engine),
        }
        Ok(names)
    }

    /// Names as an array.
    pub fn names_array(&mut self, value: Value<'a>) -> Answer<Value<'a>> {
        if value.is_primitive() {
            return Err(Stop::Engine);
        }
        let names = self.names(value)?;
        let values = ArenaVec::from_iter_in(names.into_iter().map(Value::Text), self.arena);
        Ok(Array::new_in(self.arena, values))
    }

    /// What `JSON.stringify` makes of a value.
    pub fn stringify(&mut self, value: Value<'a>) -> Answer<Value<'a>> {
        let mut out = String::new();
        let document: Document<'a> = self.document;
        let digits = Digits::new();
        let mut writer = Writer { document, out: &mut out, bytes_max: JSON_BYTES_MAX, digits };
        let written = writer.value(value, 0)?;
        self.charge(out.len())?;
        Ok(if written { Value::Text(self.arena.alloc_str(&out)) } else { Value::Undefined })
    }
}
