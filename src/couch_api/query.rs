//! Query parameters: CouchDB's several ways to read them.

use serde::de::DeserializeOwned;

use super::error::ApiError;

/// Decoded parameters in the order of the query string.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    #[must_use]
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// All parameters.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Whether a parameter is literally `true`: on documents anything else counts as absent.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// A parameter whose value is JSON.
    ///
    /// # Errors
    /// `invalid UTF-8 JSON`.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|_| ApiError::invalid_json());
        self.get(name).map(parse).transpose()
    }
}
