//! Runs a function over one document: its statements, and the functions inside of it.
//!
//! Every loop, call and copied text takes from a budget of steps; when that is used up the engine
//! runs the function, under its own limits. Depth is bounded by that of the source, for no function
//! is entered twice at a time.

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

use super::document::{Cursor, Document};
use super::number::Digits;
use super::tree::{ForEach, Function, Slot, Statement, Switch, Tree};
use super::value::{Answer, Stop, Value};

/// What one function may do to one document.
const STEPS_MAX: u32 = 1 << 20;

/// Bytes of text that cost a step.
const BYTES_A_STEP: usize = 8;

/// How a statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
    Return,
}

/// One run.
pub(super) struct Machine<'a> {
    pub tree: &'a Tree,
    pub document: Document<'a>,
    pub arena: &'a Bump,
    pub cursor: Cursor,
    pub digits: Digits,
    /// What was emitted: keys and values.
    pub emitted: ArenaVec<'a, (Value<'a>, Value<'a>)>,
    /// What was logged.
    pub lines: ArenaVec<'a, &'a str>,
    /// The message of the `TypeError` that was thrown.
    pub thrown: Option<String>,
    /// What the function threw itself.
    pub refusal: Option<Value<'a>>,
    frame: ArenaVec<'a, Value<'a>>,
    /// The functions that are running, a bit each.
    active: u64,
    /// What the function that is running returns.
    returned: Value<'a>,
    steps: u32,
    /// Whether there were not enough steps.
    pub is_exhausted: bool,
}

impl<'a> Machine<'a> {
    pub fn new(tree: &'a Tree, document: Document<'a>, arena: &'a Bump) -> Self {
        Self {
            tree,
            document,
            arena,
            cursor: Cursor::default(),
            digits: Digits::new(),
            emitted: ArenaVec::new_in(arena),
            lines: ArenaVec::new_in(arena),
            thrown: None,
            refusal: None,
            frame: bumpalo::vec![in arena; Value::Undefined; tree.slots],
            active: 0,
            returned: Value::Undefined,
            steps: STEPS_MAX,
            is_exhausted: false,
        }
    }

    /// Runs the function itself.
    pub fn run(&mut self, arguments: &[Value<'a>]) -> Answer<Value<'a>> {
        self.call(0, arguments)
    }

    /// Takes a step.
    pub fn step(&mut self) -> Answer<()> {
        self.take(1)
    }

    /// Takes the steps that `bytes` of text cost.
    pub fn charge(&mut self, bytes: usize) -> Answer<()> {
        self.take(u32::try_from(bytes / BYTES_A_STEP + 1).unwrap_or(u32::MAX))
    }

    fn take(&mut self, steps: u32) -> Answer<()> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.is_exhausted = true;
                Err(Stop::Engine)
            }
        }
    }

    /// A variable's value.
    pub fn read(&self, slot: Slot) -> Answer<Value<'a>> {
        match self.frame.get(usize::from(slot)) {
            None | Some(Value::Unborn) => Err(Stop::Engine),
            Some(value) => Ok(*value),
        }
    }

    /// Changes a variable.
    pub fn write(&mut self, slot: Slot, value: Value<'a>) -> Answer<()> {
        match self.frame.get_mut(usize::from(slot)) {
            None | Some(Value::Unborn) => Err(Stop::Engine),
            Some(place) => {
                *place = value;
                Ok(())
            }
        }
    }

    fn bear(&mut self, slot: Slot, value: Value<'a>) {
        if let Some(place) = self.frame.get_mut(usize::from(slot)) {
            *place = value;
        }
    }

    fn unbear(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.bear(*slot, Value::Unborn);
        }
    }

    /// Calls a function.
    pub fn call(&mut self, id: u16, arguments: &[Value<'a>]) -> Answer<Value<'a>> {
        self.step()?;
        let tree = self.tree;
        let function: &'a Function = tree.functions.get(usize::from(id)).ok_or(Stop::Engine)?;
        let bit = 1 << id;
        if self.active & bit != 0 {
            return Err(Stop::Engine);
        }
        self.active |= bit;
        self.unbear(&function.lexical);
        for slot in &function.variables {
            self.bear(*slot, Value::Undefined);
        }
        let mut arguments = arguments.iter();
        for slot in &function.parameters {
            self.bear(*slot, arguments.next().copied().unwrap_or(Value::Undefined));
        }
        for (slot, declared) in &function.declared {
            self.bear(*slot, Value::Function(*declared));
        }
        let flow = self.statements(&function.body)?;
        self.active &= !bit;
        Ok(if flow == Flow::Return { self.returned } else { Value::Undefined })
    }

    fn statements(&mut self, statements: &'a [Statement]) -> Answer<Flow> {
        for statement in statements {
            let flow = self.statement(statement)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &'a Statement) -> Answer<Flow> {
        match statement {
            Statement::Expression(expression) => {
                self.evaluate(expression)?;
            }
            Statement::Declare(slot, expression) => {
                let value = self.evaluate(expression)?;
                self.bear(*slot, value);
            }
            Statement::If(test, then, other) => {
                if self.evaluate(test)?.is_truthy() {
                    return self.statement(then);
                } else if let Some(other) = other {
                    return self.statement(other);
                }
            }
            Statement::Block { lexical, body } => {
                self.unbear(lexical);
                return self.statements(body);
            }
            Statement::For(each) => {
                self.unbear(&each.lexical);
                self.statements(&each.begin)?;
                loop {
                    self.step()?;
                    if let Some(test) = &each.test
                        && !self.evaluate(test)?.is_truthy()
                    {
                        break;
                    }
                    match self.statement(&each.body)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => break,
                        Flow::Return => return Ok(Flow::Return),
                    }
                    if let Some(update) = &each.update {
                        self.evaluate(update)?;
                    }
                }
            }
            Statement::DoWhile(body, test) => loop {
                self.step()?;
                match self.statement(body)? {
                    Flow::Next | Flow::Continue => {}
                    Flow::Break => break,
                    Flow::Return => return Ok(Flow::Return),
                }
                if !self.evaluate(test)?.is_truthy() {
                    break;
                }
            },
            Statement::ForIn(each) => return self.for_in(each),
            Statement::ForOf(each) => return self.for_of(each),
            Statement::Switch(switch) => return self.switch(switch),
            Statement::Return(value) => {
                self.returned = match value {
                    Some(value) => self.evaluate(value)?,
                    None => Value::Undefined,
                };
                return Ok(Flow::Return);
            }
            Statement::Throw(value) => {
                self.refusal = Some(self.evaluate(value)?);
                return Err(Stop::Thrown);
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn for_in(&mut self, each: &'a ForEach) -> Answer<Flow> {
        if each.is_lexical {
            self.unbear(&[each.slot]);
        }
        let over = self.evaluate(&each.over)?;
        if over.is_nullish() {
            return Ok(Flow::Next);
        }
        for name in self.names(over)? {
            match self.turn(each, Value::Text(name))? {
                Flow::Next | Flow::Continue => {}
                Flow::Break => break,
                Flow::Return => return Ok(Flow::Return),
            }
        }
        Ok(Flow::Next)
    }

    fn for_of(&mut self, each: &'a ForEach) -> Answer<Flow> {
        if each.is_lexical {
            self.unbear(&[each.slot]);
        }
        let over = self.evaluate(&each.over)?;
        if !matches!(over, Value::DocumentArray(_) | Value::Array(_)) {
            return Err(Stop::Engine);
        }
        let mut index = 0;
        // The array may grow meanwhile.
        while index < self.array_length(over).unwrap_or_default() {
            let element = self.element(over, index)?;
            match self.turn(each, element)? {
                Flow::Next | Flow::Continue => {}
                Flow::Break => break,
                Flow::Return => return Ok(Flow::Return),
            }
            index += 1;
        }
        Ok(Flow::Next)
    }

    fn turn(&mut self, each: &'a ForEach, value: Value<'a>) -> Answer<Flow> {
        self.step()?;
        if each.is_lexical {
            self.bear(each.slot, value);
        } else {
            self.write(each.slot, value)?;
        }
        self.statement(&each.body)
    }

    fn switch(&mut self, switch: &'a Switch) -> Answer<Flow> {
        let value = self.evaluate(&switch.value)?;
        let mut begin = None;
        for (test, place) in &switch.cases {
            if let Some(test) = test {
                let test = self.evaluate(test)?;
                if value.strictly_equals(test)? {
                    begin = Some(*place);
                    break;
                }
            }
        }
        let default = switch.cases.iter().find(|(test, _)| test.is_none()).map(|(_, at)| *at);
        let Some(begin) = begin.or(default) else { return Ok(Flow::Next) };
        let flow = self.statements(switch.body.get(begin..).unwrap_or_default())?;
        Ok(if flow == Flow::Break { Flow::Next } else { flow })
    }
}
