//! Typed reading of ini values with fallback sections, defaults and warnings.

#[cfg(test)]
use std::cell::RefCell;
#[cfg(test)]
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Values;

/// A setting that does not do what whoever set it will expect. It never repeats the value, which
/// may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub section: String,
    pub key: String,
    pub problem: Problem,
}

/// Why a setting does not do what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The value could not be used; this would have been right.
    NotUsable(&'static str),
    /// Neither CouchDB nor settee has such a key.
    Unknown,
    /// It asks for this, which the server does not have.
    Missing(&'static str),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {} ", self.section, self.key)?;
        match self.problem {
            Problem::NotUsable(expected) => write!(f, "is not {expected}; the default holds"),
            Problem::Unknown => write!(f, "is no known setting; nothing reads it"),
            Problem::Missing(what) => write!(f, "asks for {what}, which this server does not have"),
        }
    }
}

/// Reads the sections one after the other and gathers the warnings.
pub struct Reader<'v> {
    values: &'v Values,
    warnings: Vec<Warning>,
    /// Sections and keys that were looked for.
    #[cfg(test)]
    pub asked: RefCell<BTreeSet<(String, String)>>,
}

impl<'v> Reader<'v> {
    pub fn new(values: &'v Values) -> Self {
        Self {
            values,
            warnings: Vec::new(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// A section, and the older sections in which a key is looked for when the first lacks it.
    pub fn section<'r>(&'r mut self, names: &'r [&'r str]) -> Section<'r> {
        Section {
            names,
            values: self.values,
            warnings: &mut self.warnings,
            #[cfg(test)]
            asked: &self.asked,
        }
    }

    pub fn values(&self) -> &'v Values {
        self.values
    }

    pub fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }
}

/// One section with its fallbacks. An empty value counts as not set.
pub struct Section<'r> {
    names: &'r [&'r str],
    values: &'r Values,
    warnings: &'r mut Vec<Warning>,
    #[cfg(test)]
    asked: &'r RefCell<BTreeSet<(String, String)>>,
}

impl<'r> Section<'r> {
    /// The text of a key, if it is set.
    pub fn text(&self, key: &str) -> Option<&'r str> {
        self.find(key).map(|(_, value)| value)
    }

    /// The text of a key, or the default.
    pub fn text_or(&self, key: &str, default: &str) -> String {
        self.text(key).unwrap_or(default).to_owned()
    }

    /// A key in any form; `expected` describes the form for the warning.
    pub fn parsed<T>(
        &mut self,
        key: &str,
        default: T,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some((section, text)) = self.find(key) else { return default };
        parse(text).unwrap_or_else(|| {
            self.warn(section, key, expected);
            default
        })
    }

    pub fn boolean(&mut self, key: &str, default: bool) -> bool {
        self.parsed(key, default, "true or false", |text| text.parse().ok())
    }

    pub fn number<T: FromStr + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        self.parsed(key, default, "a whole number in its range", |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// A number or `infinity`, which is `None`.
    pub fn limit(&mut self, key: &str, default: Option<u64>) -> Option<u64> {
        self.parsed(key, default, "a whole number or infinity", |text| match text {
            "infinity" => Some(None),
            number => number.parse().ok().map(Some),
        })
    }

    /// A list with commas between its elements.
    pub fn list(&self, key: &str, default: &[&str]) -> Vec<String> {
        match self.text(key) {
            Some(text) => split_list(text),
            None => default.iter().map(|&element| element.to_owned()).collect(),
        }
    }

    /// Records that a part of a value could not be used.
    pub fn warn(&mut self, section: &str, key: &str, expected: &'static str) {
        let problem = Problem::NotUsable(expected);
        self.warnings.push(Warning { section: section.to_owned(), key: key.to_owned(), problem });
    }

    fn find(&self, key: &str) -> Option<(&'r str, &'r str)> {
        #[cfg(test)]
        for name in self.names {
            self.asked.borrow_mut().insert(((*name).to_owned(), key.to_owned()));
        }
        let values = self.values;
        self.names.iter().find_map(|&name| {
            let value = values.get(name)?.get(key)?.as_str();
            (!value.is_empty()).then_some((name, value))
        })
    }
}

/// The elements between commas, trimmed; empty ones are left out.
pub fn split_list(text: &str) -> Vec<String> {
    let elements = text.split(',').map(str::trim);
    elements.filter(|element| !element.is_empty()).map(str::to_owned).collect()
}
