//! Expressions.

use bumpalo::collections::{String as ArenaText, Vec as ArenaVec};

use super::machine::Machine;
use super::number::to_int32;
use super::pattern::Pattern;
use super::tree::{Assign, BinaryOperator, Expression, Name, Target, UnaryOperator, Update};
use super::value::{Answer, Array, Object, Stop, Value};

/// How many texts are as long to go through as one that a regular expression goes through.
const STEPS_OF_REGULAR: usize = 16;

impl<'a> Machine<'a> {
    pub fn evaluate(&mut self, expression: &'a Expression) -> Answer<Value<'a>> {
        match expression {
            Expression::Undefined => Ok(Value::Undefined),
            Expression::Null => Ok(Value::Null),
            Expression::Bool(value) => Ok(Value::Bool(*value)),
            Expression::Number(number) => Ok(Value::Number(*number)),
            Expression::Text(text) => Ok(Value::Text(text)),
            Expression::Slot(slot) => self.read(*slot),
            Expression::Function(id) => Ok(Value::Function(*id)),
            Expression::Member(object, name) => self.named_member(object, name),
            Expression::Index(both) => {
                let [object, index] = &**both;
                let object = self.evaluate(object)?;
                let index = self.evaluate(index)?;
                self.indexed(object, index)
            }
            Expression::Unary(operator, value) => self.unary(*operator, value),
            Expression::Binary(operator, both) => {
                let [one, two] = &**both;
                let one = self.evaluate(one)?;
                let two = self.evaluate(two)?;
                self.binary(*operator, one, two)
            }
            Expression::And(both) => {
                let [one, two] = &**both;
                let one = self.evaluate(one)?;
                if one.is_truthy() { self.evaluate(two) } else { Ok(one) }
            }
            Expression::Or(both) => {
                let [one, two] = &**both;
                let one = self.evaluate(one)?;
                if one.is_truthy() { Ok(one) } else { self.evaluate(two) }
            }
            Expression::Coalesce(both) => {
                let [one, two] = &**both;
                let one = self.evaluate(one)?;
                if one.is_nullish() { self.evaluate(two) } else { Ok(one) }
            }
            Expression::Conditional(three) => {
                let [test, then, other] = &**three;
                if self.evaluate(test)?.is_truthy() {
                    self.evaluate(then)
                } else {
                    self.evaluate(other)
                }
            }
            Expression::Emit(arguments) => {
                let mut values = [Value::Undefined; 2];
                self.arguments_into(arguments, &mut values)?;
                let [key, value] = values;
                self.step()?;
                self.emitted.push((key, value));
                Ok(Value::Undefined)
            }
            other => self.evaluate_rare(other),
        }
    }

    fn evaluate_rare(&mut self, expression: &'a Expression) -> Answer<Value<'a>> {
        match expression {
            Expression::Array(items) => {
                let mut values = ArenaVec::with_capacity_in(items.len(), self.arena);
                self.step()?;
                for item in items {
                    values.push(self.evaluate(item)?);
                }
                Ok(Array::new_in(self.arena, values))
            }
            Expression::Object(members) => {
                let values = ArenaVec::with_capacity_in(members.len(), self.arena);
                self.step()?;
                let object = Object { members: values.into() };
                for (name, value) in members {
                    let value = self.evaluate(value)?;
                    object.set(name, value);
                }
                Ok(Value::Object(self.arena.alloc(object)))
            }
            Expression::Sequence(expressions) => {
                let mut last = Value::Undefined;
                for expression in expressions {
                    last = self.evaluate(expression)?;
                }
                Ok(last)
            }
            Expression::Template(parts) => {
                let mut text = ArenaText::new_in(self.arena);
                for part in parts {
                    let part = self.evaluate(part)?.text_in(self.arena)?;
                    self.charge(part.len())?;
                    text.push_str(part);
                }
                Ok(Value::Text(text.into_bump_str()))
            }
            Expression::Assign(assign) => self.assign(assign),
            Expression::Update(update) => self.update(update),
            Expression::Log(arguments) => {
                let mut values = [Value::Undefined];
                self.arguments_into(arguments, &mut values)?;
                self.log(values[0])
            }
            Expression::Call(slot, arguments) => {
                let callee = self.read(*slot)?;
                let arguments = self.arguments(arguments)?;
                let Value::Function(id) = callee else { return Err(Stop::Engine) };
                self.call(id, &arguments)
            }
            Expression::Method(call) => {
                let receiver = self.evaluate(&call.receiver)?;
                if receiver.is_nullish() {
                    return Err(self.no_member(receiver, call.method.name()));
                }
                let arguments = self.arguments(&call.arguments)?;
                self.method(receiver, call.method, &arguments)
            }
            Expression::Builtin(builtin, arguments) => {
                let arguments = self.arguments(arguments)?;
                self.builtin(*builtin, &arguments)
            }
            Expression::Test(..)
            | Expression::Matches(..)
            | Expression::Split(..)
            | Expression::Replace(..) => self.match_pattern(expression),
            // `Foreign`; the others are known to `evaluate`.
            _ => Err(Stop::Engine),
        }
    }

    fn match_pattern(&mut self, expression: &'a Expression) -> Answer<Value<'a>> {
        match expression {
            Expression::Test(test) => {
                let (pattern, text) = &**test;
                let text = self.evaluate(text)?.text_in(self.arena)?;
                self.charge(text.len())?;
                Ok(Value::Bool(pattern.is_in(text)))
            }
            Expression::Matches(test) => {
                let (regular, text) = &**test;
                let text = self.evaluate(text)?.text_in(self.arena)?;
                self.charge(STEPS_OF_REGULAR * text.len())?;
                regular.is_in(text).map(Value::Bool)
            }
            Expression::Split(split) => {
                let (text, pattern) = &**split;
                let text = self.evaluate(text)?;
                self.split_by(text, pattern)
            }
            Expression::Replace(replace) => {
                let (text, pattern, replacement) = &**replace;
                let text = self.evaluate(text)?;
                let replacement = self.evaluate(replacement)?;
                self.replace_by(text, pattern, replacement)
            }
            _ => Err(Stop::Engine),
        }
    }

    /// Evaluates all arguments and keeps the first ones.
    fn arguments_into(
        &mut self,
        arguments: &'a [Expression],
        values: &mut [Value<'a>],
    ) -> Answer<()> {
        for (at, argument) in arguments.iter().enumerate() {
            let value = self.evaluate(argument)?;
            if let Some(place) = values.get_mut(at) {
                *place = value;
            }
        }
        Ok(())
    }

    fn arguments(&mut self, arguments: &'a [Expression]) -> Answer<ArenaVec<'a, Value<'a>>> {
        let mut values = ArenaVec::with_capacity_in(arguments.len(), self.arena);
        for argument in arguments {
            values.push(self.evaluate(argument)?);
        }
        Ok(values)
    }

    fn log(&mut self, message: Value<'a>) -> Answer<Value<'a>> {
        let line = match message {
            Value::Text(text) => text,
            other => match self.stringify(other)? {
                Value::Text(text) => text,
                _ => "undefined",
            },
        };
        // Longer lines are cut by units.
        if line.len() > 16_000 {
            return Err(Stop::Engine);
        }
        self.charge(line.len())?;
        self.lines.push(line);
        Ok(Value::Undefined)
    }

    fn named_member(&mut self, object: &'a Expression, name: &'a Name) -> Answer<Value<'a>> {
        let object = self.evaluate(object)?;
        match self.own_member(object, &name.text)? {
            Some(value) => Ok(value),
            None if name.inherited.by(object) => Err(Stop::Engine),
            None => Ok(Value::Undefined),
        }
    }

    fn unary(&mut self, operator: UnaryOperator, value: &'a Expression) -> Answer<Value<'a>> {
        let value = self.evaluate(value)?;
        Ok(match operator {
            UnaryOperator::Not => Value::Bool(!value.is_truthy()),
            UnaryOperator::Minus => Value::Number(-value.to_number()?),
            UnaryOperator::Plus => Value::Number(value.to_number()?),
            UnaryOperator::BitNot => Value::Number(f64::from(!to_int32(value.to_number()?))),
            UnaryOperator::TypeOf => Value::Text(value.type_name()),
            UnaryOperator::Void => Value::Undefined,
        })
    }

    pub fn binary(
        &mut self,
        operator: BinaryOperator,
        one: Value<'a>,
        two: Value<'a>,
    ) -> Answer<Value<'a>> {
        use BinaryOperator as Op;
        if matches!(one, Value::Text(_)) || matches!(two, Value::Text(_)) {
            let bytes = |value| if let Value::Text(text) = value { text.len() } else { 0 };
            self.charge(bytes(one).min(bytes(two)))?;
        }
        Ok(match operator {
            Op::Equal => Value::Bool(one.loosely_equals(two)?),
            Op::NotEqual => Value::Bool(!one.loosely_equals(two)?),
            Op::StrictEqual => Value::Bool(one.strictly_equals(two)?),
            Op::StrictNotEqual => Value::Bool(!one.strictly_equals(two)?),
            Op::Less => Value::Bool(one.compare(two)?.is_some_and(std::cmp::Ordering::is_lt)),
            Op::LessEqual => Value::Bool(one.compare(two)?.is_some_and(std::cmp::Ordering::is_le)),
            Op::Greater => Value::Bool(one.compare(two)?.is_some_and(std::cmp::Ordering::is_gt)),
            Op::GreaterEqual => {
                Value::Bool(one.compare(two)?.is_some_and(std::cmp::Ordering::is_ge))
            }
            Op::Add => return self.add(one, two),
            Op::In => return self.is_member(one, two),
            _ => Value::Number(arithmetic(operator, one.to_number()?, two.to_number()?)),
        })
    }

    fn add(&mut self, one: Value<'a>, two: Value<'a>) -> Answer<Value<'a>> {
        if !one.is_primitive() || !two.is_primitive() {
            return Err(Stop::Engine);
        }
        if !matches!(one, Value::Text(_)) && !matches!(two, Value::Text(_)) {
            return Ok(Value::Number(one.to_number()? + two.to_number()?));
        }
        let (one, two) = (one.text_in(self.arena)?, two.text_in(self.arena)?);
        self.charge(one.len() + two.len())?;
        let mut text = ArenaText::with_capacity_in(one.len() + two.len(), self.arena);
        text.push_str(one);
        text.push_str(two);
        Ok(Value::Text(text.into_bump_str()))
    }

    fn assign(&mut self, assign: &'a Assign) -> Answer<Value<'a>> {
        match &assign.target {
            Target::Slot(slot) => {
                let before = match assign.operator {
                    Some(_) => self.read(*slot)?,
                    None => Value::Undefined,
                };
                let value = self.evaluate(&assign.value)?;
                let value = match assign.operator {
                    Some(operator) => self.binary(operator, before, value)?,
                    None => value,
                };
                self.write(*slot, value)?;
                Ok(value)
            }
            Target::Member(object, name) => {
                let object = self.evaluate(object)?;
                let name = self.evaluate(name)?;
                check_base(object, name)?;
                let before = match assign.operator {
                    Some(_) => self.indexed(object, name)?,
                    None => Value::Undefined,
                };
                let value = self.evaluate(&assign.value)?;
                let value = match assign.operator {
                    Some(operator) => self.binary(operator, before, value)?,
                    None => value,
                };
                self.set_member(object, name, value)?;
                Ok(value)
            }
        }
    }

    fn update(&mut self, update: &'a Update) -> Answer<Value<'a>> {
        let (before, after);
        match &update.target {
            Target::Slot(slot) => {
                before = self.read(*slot)?.to_number()?;
                after = before + update.delta;
                self.write(*slot, Value::Number(after))?;
            }
            Target::Member(object, name) => {
                let object = self.evaluate(object)?;
                let name = self.evaluate(name)?;
                check_base(object, name)?;
                before = self.indexed(object, name)?.to_number()?;
                after = before + update.delta;
                self.set_member(object, name, Value::Number(after))?;
            }
        }
        Ok(Value::Number(if update.is_postfix { before } else { after }))
    }

    fn split_by(&mut self, text: Value<'a>, pattern: &'a Pattern) -> Answer<Value<'a>> {
        let text = self.receiver_text(text, "split")?;
        pattern.check(text)?;
        self.charge(text.len())?;
        let mut parts = ArenaVec::new_in(self.arena);
        let mut begin = 0;
        while let Some((start, end)) = pattern.find(text, begin) {
            self.step()?;
            parts.push(Value::Text(text.get(begin..start).unwrap_or_default()));
            begin = end;
        }
        parts.push(Value::Text(text.get(begin..).unwrap_or_default()));
        Ok(Array::new_in(self.arena, parts))
    }

    fn replace_by(
        &mut self,
        text: Value<'a>,
        pattern: &'a Pattern,
        replacement: Value<'a>,
    ) -> Answer<Value<'a>> {
        let text = self.receiver_text(text, "replace")?;
        pattern.check(text)?;
        let replacement = replacement.text_in(self.arena)?;
        if replacement.contains('$') {
            return Err(Stop::Engine);
        }
        self.charge(text.len())?;
        let mut replaced = ArenaText::new_in(self.arena);
        let mut begin = 0;
        while let Some((start, end)) = pattern.find(text, begin) {
            self.charge(replacement.len())?;
            replaced.push_str(text.get(begin..start).unwrap_or_default());
            replaced.push_str(replacement);
            begin = end;
            if !pattern.is_global {
                break;
            }
        }
        replaced.push_str(text.get(begin..).unwrap_or_default());
        Ok(Value::Text(replaced.into_bump_str()))
    }

    /// The string whose method is called.
    fn receiver_text(&mut self, receiver: Value<'a>, method: &str) -> Answer<&'a str> {
        match receiver {
            Value::Text(text) => Ok(text),
            Value::Undefined | Value::Null => Err(self.no_member(receiver, method)),
            _ => Err(Stop::Engine),
        }
    }
}

/// Only members of objects are changed natively, and names that are objects have a text of their
/// own.
fn check_base(object: Value<'_>, name: Value<'_>) -> Answer<()> {
    if object.is_primitive() || !name.is_primitive() { Err(Stop::Engine) } else { Ok(()) }
}

fn arithmetic(operator: BinaryOperator, one: f64, two: f64) -> f64 {
    use BinaryOperator as Op;
    // Shifts take the last five bits of how far they go.
    let bits = || (to_int32(one), to_int32(two));
    let shift = to_int32(two).rem_euclid(32);
    match operator {
        Op::Subtract => one - two,
        Op::Multiply => one * two,
        Op::Divide => one / two,
        Op::Remainder => one % two,
        Op::BitAnd => f64::from(bits().0 & bits().1),
        Op::BitOr => f64::from(bits().0 | bits().1),
        Op::BitXor => f64::from(bits().0 ^ bits().1),
        Op::ShiftLeft => f64::from(to_int32(one) << shift),
        Op::ShiftRight => f64::from(to_int32(one) >> shift),
        Op::ShiftRightUnsigned => f64::from(to_int32(one).cast_unsigned() >> shift),
        _ => f64::NAN,
    }
}
