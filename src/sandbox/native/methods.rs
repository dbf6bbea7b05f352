//! Methods of strings, arrays and objects, and global functions.
//!
//! Where a method is called with what it is rarely called with, the engine runs the function.

use std::cmp::Ordering;

use bumpalo::collections::{String as ArenaText, Vec as ArenaVec};

use super::machine::Machine;
use super::number::{self, clamped, index_of, of_length, relative};
use super::text::{self, has_known_case, is_space};
use super::tree::{Builtin, Method};
use super::value::{Answer, Array, Stop, Value, compare_texts};

impl<'a> Machine<'a> {
    pub fn method(
        &mut self,
        receiver: Value<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Answer<Value<'a>> {
        match receiver {
            Value::Text(text) => self.text_method(text, method, arguments),
            Value::DocumentArray(_) | Value::Array(_) => {
                self.array_method(receiver, method, arguments)
            }
            Value::DocumentObject(_) | Value::Object(_) if method == Method::HasOwnProperty => {
                let [name] = arguments else { return Err(Stop::Engine) };
                let name = name.text_in(self.arena)?;
                if self.own_member(receiver, method.name())?.is_some() {
                    return Err(Stop::Engine);
                }
                Ok(Value::Bool(self.own_member(receiver, name)?.is_some()))
            }
            Value::Bool(_) | Value::Number(_)
                if method == Method::ToString && arguments.is_empty() =>
            {
                Ok(Value::Text(receiver.text_in(self.arena)?))
            }
            _ => Err(Stop::Engine),
        }
    }

    fn text_method(
        &mut self,
        text: &'a str,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Answer<Value<'a>> {
        self.charge(text.len())?;
        let first = arguments.first().copied().unwrap_or(Value::Undefined);
        let second = arguments.get(1).copied().unwrap_or(Value::Undefined);
        Ok(match method {
            Method::ToLowerCase => Value::Text(self.other_case(text, str::to_lowercase)?),
            Method::ToUpperCase => Value::Text(self.other_case(text, str::to_uppercase)?),
            Method::Trim => Value::Text(text.trim_matches(is_space)),
            Method::ToString => Value::Text(text),
            Method::CharAt => {
                let at = clamped_or_none(first.to_number()?, text::units(text));
                let character = at.map(|at| text::unit_at(text, at)).transpose()?.flatten();
                Value::Text(character.unwrap_or_default())
            }
            Method::CharCodeAt => {
                let at = clamped_or_none(first.to_number()?, text::units(text));
                let unit = at.and_then(|at| text.encode_utf16().nth(at));
                Value::Number(unit.map_or(f64::NAN, f64::from))
            }
            Method::Slice | Method::Substring | Method::Substr => {
                Value::Text(cut(text, method, first, second)?)
            }
            Method::Split => self.split(text, first, second)?,
            Method::IndexOf
            | Method::LastIndexOf
            | Method::Includes
            | Method::StartsWith
            | Method::EndsWith => self.search(text, method, first, second)?,
            Method::Replace => {
                let (Value::Text(what), Value::Text(with)) = (first, second) else {
                    return Err(Stop::Engine);
                };
                if with.contains('$') {
                    return Err(Stop::Engine);
                }
                self.charge(what.len() + with.len())?;
                check_search(text, what)?;
                Value::Text(self.arena.alloc_str(&text.replacen(what, with, 1)))
            }
            Method::Concat => {
                let mut all = ArenaText::from_str_in(text, self.arena);
                for argument in arguments {
                    let argument = argument.text_in(self.arena)?;
                    self.charge(argument.len())?;
                    all.push_str(argument);
                }
                Value::Text(all.into_bump_str())
            }
            _ => return Err(Stop::Engine),
        })
    }

    fn search(
        &mut self,
        text: &'a str,
        method: Method,
        what: Value<'a>,
        from: Value<'a>,
    ) -> Answer<Value<'a>> {
        let (Value::Text(what), Value::Undefined) = (what, from) else {
            return Err(Stop::Engine);
        };
        self.charge(what.len())?;
        let found = |place: Option<usize>| {
            Value::Number(place.map_or(-1.0, |byte| of_length(text::unit_of_byte(text, byte))))
        };
        Ok(match method {
            Method::IndexOf => found(text.find(what)),
            Method::LastIndexOf => found(text.rfind(what)),
            Method::StartsWith => Value::Bool(text.starts_with(what)),
            Method::EndsWith => Value::Bool(text.ends_with(what)),
            _ => Value::Bool(text.contains(what)),
        })
    }

    fn other_case(&mut self, text: &'a str, change: fn(&str) -> String) -> Answer<&'a str> {
        if !text.chars().all(has_known_case) {
            return Err(Stop::Engine);
        }
        Ok(self.arena.alloc_str(&change(text)))
    }

    fn split(&mut self, text: &'a str, by: Value<'a>, limit: Value<'a>) -> Answer<Value<'a>> {
        let mut parts = ArenaVec::new_in(self.arena);
        if !matches!(limit, Value::Undefined) {
            return Err(Stop::Engine);
        }
        match by {
            Value::Undefined => parts.push(Value::Text(text)),
            Value::Text("") => {
                for unit in text.split("").filter(|unit| !unit.is_empty()) {
                    if unit.len() > 3 {
                        return Err(Stop::Engine);
                    }
                    self.step()?;
                    parts.push(Value::Text(unit));
                }
            }
            Value::Text(by) => {
                check_search(text, by)?;
                for part in text.split(by) {
                    self.step()?;
                    parts.push(Value::Text(part));
                }
            }
            _ => return Err(Stop::Engine),
        }
        Ok(Array::new_in(self.arena, parts))
    }

    fn array_method(
        &mut self,
        array: Value<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Answer<Value<'a>> {
        let length = self.array_length(array).unwrap_or_default();
        self.step()?;
        match (method, arguments) {
            (
                Method::ForEach | Method::Map | Method::Filter | Method::Some | Method::Every,
                [Value::Function(id)],
            ) => self.each(array, method, *id),
            (Method::IndexOf | Method::Includes, [what]) => self.place_of(array, method, *what),
            (Method::Sort, []) => self.sort(array),
            (Method::Join, []) => self.join(array, ","),
            (Method::Join, [Value::Text(by)]) => self.join(array, by),
            (Method::Slice, [] | [Value::Number(_)] | [Value::Number(_), Value::Number(_)]) => {
                let place = |at: usize, other: f64| match arguments.get(at) {
                    Some(Value::Number(number)) => relative(*number, length),
                    _ => relative(other, length),
                };
                let (start, end) = (place(0, 0.0), place(1, f64::INFINITY));
                let mut items = ArenaVec::new_in(self.arena);
                self.append(&mut items, array, start, end)?;
                Ok(Array::new_in(self.arena, items))
            }
            (Method::Concat, _) => {
                let mut items = ArenaVec::new_in(self.arena);
                self.append(&mut items, array, 0, length)?;
                for argument in arguments {
                    match self.array_length(*argument) {
                        Some(length) => self.append(&mut items, *argument, 0, length)?,
                        None if matches!(argument, Value::Function(_)) => {
                            return Err(Stop::Engine);
                        }
                        None => items.push(*argument),
                    }
                }
                Ok(Array::new_in(self.arena, items))
            }
            (Method::Push, _) => {
                let Value::Array(array) = array else { return Err(Stop::Engine) };
                let mut items = array.items.borrow_mut();
                for argument in arguments {
                    if matches!(argument, Value::Function(_)) {
                        return Err(Stop::Engine);
                    }
                    self.step()?;
                    items.push(*argument);
                }
                Ok(Value::Number(of_length(items.len())))
            }
            _ => Err(Stop::Engine),
        }
    }

    fn place_of(&mut self, array: Value<'a>, method: Method, what: Value<'a>) -> Answer<Value<'a>> {
        let is_nan = |value| matches!(value, Value::Number(number) if f64::is_nan(number));
        let mut found = None;
        for index in 0..self.array_length(array).unwrap_or_default() {
            self.step()?;
            let element = self.element(array, index)?;
            if let (Value::Text(one), Value::Text(_)) = (element, what) {
                self.charge(one.len())?;
            }
            let both_nan = method == Method::Includes && is_nan(element) && is_nan(what);
            if both_nan || element.strictly_equals(what)? {
                found = Some(index);
                break;
            }
        }
        Ok(match method {
            Method::Includes => Value::Bool(found.is_some()),
            _ => Value::Number(found.map_or(-1.0, of_length)),
        })
    }

    /// Sorts texts in an array of the function's own.
    fn sort(&mut self, array: Value<'a>) -> Answer<Value<'a>> {
        let Value::Array(own) = array else { return Err(Stop::Engine) };
        let mut items = own.items.borrow_mut();
        let mut bytes = 0;
        for item in items.iter() {
            let Value::Text(text) = item else { return Err(Stop::Engine) };
            bytes += text.len() + 1;
        }
        let halvings = usize::BITS - items.len().leading_zeros();
        self.charge(bytes.saturating_mul(halvings as usize))?;
        items.sort_by(|one, two| match (one, two) {
            (Value::Text(one), Value::Text(two)) => compare_texts(one, two),
            _ => Ordering::Equal,
        });
        Ok(array)
    }

    fn append(
        &mut self,
        items: &mut ArenaVec<'a, Value<'a>>,
        array: Value<'a>,
        start: usize,
        end: usize,
    ) -> Answer<()> {
        for index in start..end {
            self.step()?;
            items.push(self.element(array, index)?);
        }
        Ok(())
    }

    fn each(&mut self, array: Value<'a>, method: Method, id: u16) -> Answer<Value<'a>> {
        let mut items = ArenaVec::new_in(self.arena);
        for index in 0..self.array_length(array).unwrap_or_default() {
            let element = self.element(array, index)?;
            let answer = self.call(id, &[element, Value::Number(of_length(index)), array])?;
            match method {
                Method::Map if matches!(answer, Value::Function(_)) => return Err(Stop::Engine),
                Method::Map => items.push(answer),
                Method::Filter if answer.is_truthy() => items.push(element),
                Method::Some if answer.is_truthy() => return Ok(Value::Bool(true)),
                Method::Every if !answer.is_truthy() => return Ok(Value::Bool(false)),
                _ => {}
            }
        }
        Ok(match method {
            Method::Map | Method::Filter => Array::new_in(self.arena, items),
            Method::Some => Value::Bool(false),
            Method::Every => Value::Bool(true),
            _ => Value::Undefined,
        })
    }

    fn join(&mut self, array: Value<'a>, by: &str) -> Answer<Value<'a>> {
        let mut joined = ArenaText::new_in(self.arena);
        for index in 0..self.array_length(array).unwrap_or_default() {
            if index > 0 {
                joined.push_str(by);
            }
            let element = self.element(array, index)?;
            let part = if element.is_nullish() { "" } else { element.text_in(self.arena)? };
            self.charge(by.len() + part.len())?;
            joined.push_str(part);
        }
        Ok(Value::Text(joined.into_bump_str()))
    }

    pub fn builtin(&mut self, builtin: Builtin, arguments: &[Value<'a>]) -> Answer<Value<'a>> {
        let first = arguments.first().copied().unwrap_or(Value::Undefined);
        if let Value::Text(text) = first {
            self.charge(text.len())?;
        }
        Ok(match builtin {
            Builtin::IsArray => {
                Value::Bool(matches!(first, Value::DocumentArray(_) | Value::Array(_)))
            }
            Builtin::Boolean => Value::Bool(first.is_truthy()),
            Builtin::Number if arguments.is_empty() => Value::Number(0.0),
            Builtin::Number => Value::Number(first.to_number()?),
            Builtin::String if arguments.is_empty() => Value::Text(""),
            Builtin::String => Value::Text(first.text_in(self.arena)?),
            Builtin::IsNaN => Value::Bool(first.to_number()?.is_nan()),
            Builtin::IsFinite => Value::Bool(first.to_number()?.is_finite()),
            Builtin::ParseFloat => Value::Number(number::parse_float(first.text_in(self.arena)?)),
            Builtin::ParseInt => {
                let radix = match arguments.get(1) {
                    None | Some(Value::Undefined) => None,
                    Some(Value::Number(radix)) => {
                        let radix = index_of(*radix).filter(|radix| (2..=36).contains(radix));
                        Some(radix.ok_or(Stop::Engine)?)
                    }
                    Some(_) => return Err(Stop::Engine),
                };
                let text = first.text_in(self.arena)?;
                Value::Number(number::parse_int(text, radix).ok_or(Stop::Engine)?)
            }
            Builtin::Keys => return self.names_array(first),
            Builtin::Stringify if arguments.len() == 1 => return self.stringify(first),
            Builtin::Floor => Value::Number(first.to_number()?.floor()),
            Builtin::Ceil => Value::Number(first.to_number()?.ceil()),
            Builtin::Abs => Value::Number(first.to_number()?.abs()),
            Builtin::Round => Value::Number(round(first.to_number()?)),
            Builtin::Min | Builtin::Max => Value::Number(extreme(builtin, arguments)?),
            Builtin::Stringify => return Err(Stop::Engine),
        })
    }
}

/// The engine refuses searches that might take long.
fn check_search(text: &str, what: &str) -> Answer<()> {
    const COMPARISONS_MAX: usize = 10_000_000;
    let comparisons = text.len().saturating_mul(what.len() + 1);
    if comparisons > COMPARISONS_MAX { Err(Stop::Engine) } else { Ok(()) }
}

/// The part of a string that `slice`, `substring` or `substr` gives.
fn cut<'a>(text: &'a str, method: Method, first: Value<'a>, second: Value<'a>) -> Answer<&'a str> {
    let length = text::units(text);
    let first = first.to_number()?;
    let second = match second {
        Value::Undefined => None,
        other => Some(number::to_integer(other.to_number()?)),
    };
    let whole = of_length(length);
    let (start, end) = match method {
        Method::Slice => (relative(first, length), relative(second.unwrap_or(whole), length)),
        Method::Substr => {
            let start = relative(first, length);
            (start, clamped(of_length(start) + second.unwrap_or(whole), length))
        }
        _ => {
            let start = clamped(number::to_integer(first), length);
            let end = clamped(second.unwrap_or(whole), length);
            (start.min(end), start.max(end))
        }
    };
    text::cut(text, start, end)
}

/// A position, if a string has it.
fn clamped_or_none(position: f64, length: usize) -> Option<usize> {
    let position = number::to_integer(position);
    let within = position >= 0.0 && position < of_length(length);
    within.then(|| clamped(position, length))
}

/// To the nearest integer, halves upwards; -0 is one.
fn round(number: f64) -> f64 {
    let floor = number.floor();
    let rounded = if number - floor >= 0.5 { floor + 1.0 } else { floor };
    if rounded == 0.0 { rounded.copysign(number) } else { rounded }
}

fn extreme(builtin: Builtin, arguments: &[Value<'_>]) -> Answer<f64> {
    let mut found = if builtin == Builtin::Min { f64::INFINITY } else { f64::NEG_INFINITY };
    for argument in arguments {
        let number = argument.to_number()?;
        // Of the zeros one is smaller, and what is no number stays.
        let is_zeros = number == 0.0 && found == 0.0;
        let beyond = match builtin {
            Builtin::Min => number < found || (is_zeros && number.is_sign_negative()),
            _ => number > found || (is_zeros && number.is_sign_positive()),
        };
        if number.is_nan() || (beyond && !found.is_nan()) {
            found = number;
        }
    }
    Ok(found)
}
