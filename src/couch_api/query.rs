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

    /// The parameters of a request below `_partition/{partition}`: as CouchDB reads them, in the
    /// order of their names, each once.
    #[must_use]
    pub fn in_partition(mut self, partition: &str) -> Self {
        self.0.push(("partition".to_owned(), partition.to_owned()));
        self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.0.dedup_by(|(later, _), (first, _)| later == first);
        self
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_in_a_partition() {
        let pairs = [("startkey", "1"), ("key", "2"), ("key", "3"), ("limit", "4")];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let query = Query::new(pairs.map(own).to_vec()).in_partition("p");
        let expect = [("key", "2"), ("limit", "4"), ("partition", "p"), ("startkey", "1")];
        assert_eq!(query.pairs().collect::<Vec<_>>(), expect);
    }
}
