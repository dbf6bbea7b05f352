//! Reading the members of a request as CouchDB does: each by its name, in a fixed order, and at
//! the end complaining about what nobody has read.

use serde_json::{Map, Value};

use super::error::MangoError;

/// The members of a request that have not been read yet.
#[derive(Debug)]
pub struct Members(Map<String, Value>);

impl Members {
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// A member that may be missing.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    pub fn required(&mut self, name: &'static str) -> Result<Value, MangoError> {
        self.take(name).ok_or(MangoError::MissingKey(name))
    }

    pub fn boolean(&mut self, name: &str, default: bool) -> Result<bool, MangoError> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(value),
            Some(value) => {
                Err(MangoError::member("invalid_boolean", "Invalid boolean value: ", &value))
            }
        }
    }

    pub fn string(&mut self, name: &str) -> Result<Option<String>, MangoError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(MangoError::member("invalid_string", "Invalid string: ", &value)),
        }
    }

    /// An integer that is `least` or more.
    fn integer(
        &mut self,
        name: &str,
        (error, words): (&'static str, &str),
        (default, least): (u64, u64),
    ) -> Result<u64, MangoError> {
        let Some(value) = self.take(name) else { return Ok(default) };
        match value.as_u64().filter(|number| *number >= least) {
            Some(number) => Ok(number),
            None => {
                let reason = format!("{} {words}", super::erlang_term::print(&value));
                Err(MangoError::Member { error, reason })
            }
        }
    }

    pub fn unsigned(&mut self, name: &str, default: u64) -> Result<u64, MangoError> {
        let words = "is not an integer greater than or equal to zero";
        self.integer(name, ("invalid_non_neg_integer", words), (default, 0))
    }

    pub fn positive(&mut self, name: &str, default: u64) -> Result<u64, MangoError> {
        let words = "is not an integer greater than zero";
        self.integer(name, ("invalid_pos_integer", words), (default, 1))
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), MangoError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(MangoError::InvalidKey(name)),
        }
    }
}
