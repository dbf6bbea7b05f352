//! Validation written as a selector, as CouchDB's main branch has it: a design document of the
//! language `query` whose `validate_doc_update` is a selector of `{"newDoc": ..., "oldDoc": ...}`.
//! `oldDoc` is missing where the document is new. What the selector does not want is forbidden.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::design::{Ddoc, FunctionError, Question, Validator};
use crate::sandbox::CallError;

use super::mapper::LANGUAGE;
use super::planner::named_fields;
use super::selector::{FieldPath, Selector};

const MEMBER: &str = "validate_doc_update";
const FORBIDDEN: &str = "document is not valid";

/// Asks selectors, and whoever asks functions for everything else.
pub struct SelectorValidator {
    functions: Arc<dyn Validator>,
}

impl fmt::Debug for SelectorValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SelectorValidator").field(&self.functions).finish()
    }
}

impl SelectorValidator {
    pub fn new(functions: Arc<dyn Validator>) -> Self {
        Self { functions }
    }
}

impl Validator for SelectorValidator {
    fn validate_all(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        user: &str,
        security: &str,
    ) -> Vec<Result<(), FunctionError>> {
        match validating_selector(&ddoc.body) {
            None => self.functions.validate_all(ddoc, questions, user, security),
            Some(Ok(selector)) => {
                questions.iter().map(|question| judge(&selector, question)).collect()
            }
            Some(Err(reason)) => {
                let error = "compilation_error".to_owned();
                let refused = FunctionError::from(CallError::Thrown { error, reason });
                questions.iter().map(|_| Err(refused.clone())).collect()
            }
        }
    }
}

/// The selector that a design document validates with, if it has one, or why it is none.
pub fn validating_selector(ddoc: &Map<String, Value>) -> Option<Result<Selector, String>> {
    if ddoc.get("language").and_then(Value::as_str) != Some(LANGUAGE) {
        return None;
    }
    let member = ddoc.get(MEMBER).filter(|member| member.is_object())?;
    let selector = match Selector::parse(member) {
        Ok(selector) => selector,
        Err(error) => return Some(Err(error.to_string())),
    };
    let is_known = |field: &&str| {
        let path = FieldPath::parse(field);
        let first = path.as_ref().ok().and_then(|path| path.pieces().first());
        first.is_some_and(|first| ["newDoc", "oldDoc"].contains(&&**first))
    };
    if named_fields(selector.root()).iter().all(is_known) {
        return Some(Ok(selector));
    }
    let reason = format!("'{MEMBER}' may only contain 'newDoc' and 'oldDoc' as top-level fields");
    Some(Err(reason))
}

fn judge(selector: &Selector, question: &Question) -> Result<(), FunctionError> {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    // A document that is nested too deep to be looked at is not found valid.
    let asked = read(&question.new).zip(read(&question.old)).map(|(new, old)| {
        let mut asked = json!({ "newDoc": new });
        if !old.is_null() {
            asked["oldDoc"] = old;
        }
        asked
    });
    if asked.is_some_and(|asked| selector.matches(&asked).unwrap_or(false)) {
        return Ok(());
    }
    Err(CallError::Forbidden(Value::from(FORBIDDEN).to_string()).into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::document::{DocId, Document, Rev};

    /// Lets everything in.
    #[derive(Debug)]
    struct Functions;

    impl Validator for Functions {
        fn validate_all(
            &self,
            _: &Ddoc,
            questions: &[Question],
            _: &str,
            _: &str,
        ) -> Vec<Result<(), FunctionError>> {
            questions.iter().map(|_| Ok(())).collect()
        }
    }

    fn validate(ddoc: &Value, new: &Value, old: &Value) -> Result<(), String> {
        let document = Document {
            id: DocId::parse("_design/d").unwrap(),
            rev: Rev::parse("1-a").unwrap(),
            deleted: false,
            body: Bytes::from(ddoc.to_string()),
            attachments: Vec::new(),
        };
        let ddoc = Ddoc::new(&document, None).unwrap();
        let question = Question { new: new.to_string(), old: old.to_string() };
        let validator = SelectorValidator::new(Arc::new(Functions));
        let answers = validator.validate_all(&ddoc, &[question], "{}", "{}");
        answers.into_iter().next().unwrap().map_err(|error| match error {
            FunctionError::Call(CallError::Forbidden(reason)) => reason,
            other => other.to_string(),
        })
    }

    #[test]
    fn selectors_validate() {
        let typed = json!({
            "language": "query",
            "validate_doc_update": {"newDoc": {"type": {"$exists": true}, "year": {"$gt": 1900}}},
        });
        let forbidden = Err("\"document is not valid\"".to_owned());
        let film = json!({"_id": "a", "type": "film", "year": 1982});
        assert_eq!(validate(&typed, &film, &json!(null)), Ok(()));
        assert_eq!(validate(&typed, &json!({"_id": "a", "year": 1982}), &film), forbidden);
        let draft = json!({
            "language": "query",
            "validate_doc_update": {"$or": [
                {"oldDoc": {"$exists": false}}, {"oldDoc.state": "draft"},
            ]},
        });
        assert_eq!(validate(&draft, &film, &json!(null)), Ok(()));
        assert_eq!(validate(&draft, &film, &json!({"state": "draft"})), Ok(()));
        assert_eq!(validate(&draft, &film, &json!({"state": "final"})), forbidden);
    }

    #[test]
    fn only_selectors_of_mango_are_taken() {
        let script = json!({"validate_doc_update": {"newDoc": {"a": 1}}});
        assert_eq!(validate(&script, &json!({}), &json!(null)), Ok(()));
        for (selector, reason) in [
            (json!({"newDoc": {"a": {"$x": 1}}}), "Invalid operator: $x"),
            (
                json!({"userCtx": {"name": "a"}}),
                "'validate_doc_update' may only contain 'newDoc' and 'oldDoc' as top-level fields",
            ),
        ] {
            let ddoc = json!({"language": "query", "validate_doc_update": selector});
            let error = validate(&ddoc, &json!({}), &json!(null)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
