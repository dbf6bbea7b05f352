//! Who may write what: the validation functions of a database's design documents.
//!
//! Only admitted edits can be written ([`Database::edit`]), so no path forgets to ask. A revision
//! never changes, so edits are judged outside the writer, by the revision that they stand on; the
//! writer finds conflicts with what came meanwhile.

use std::sync::Arc;

use serde_json::json;

use crate::design::{Ddoc, FunctionError, Question};
use crate::document::revtree::RevTree;
use crate::document::{DocId, Document, Rev};

use super::apply::{self, Place};
use super::{Base, Database, DatabaseError, Edit, EditOutcome, Source, question};

/// Documents that functions are asked about together, and bytes of them that are aimed at.
const ASKED_MAX: usize = 256;
const ASKED_BYTES: u64 = 4 << 20;

/// On whose behalf documents are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// The server itself: nobody is asked.
    Server,
    /// A user; admins are asked for, too.
    User { name: Option<String>, roles: Vec<String> },
}

/// Edits that may be written, and the outcomes of those that may not.
#[derive(Debug)]
pub struct Admitted {
    pub(super) edits: Vec<Edit>,
    /// With their places in the request, ascending.
    refused: Vec<(usize, EditOutcome)>,
}

impl Admitted {
    /// What the server writes itself: nobody is asked.
    #[must_use]
    pub fn by_server(edits: Vec<Edit>) -> Self {
        Self { edits, refused: Vec::new() }
    }

    /// The outcomes that need no writer, in their places among `written`.
    pub(super) fn outcomes(
        refused: Vec<(usize, EditOutcome)>,
        written: Vec<EditOutcome>,
    ) -> Vec<EditOutcome> {
        if refused.is_empty() {
            return written;
        }
        let mut all = Vec::with_capacity(refused.len() + written.len());
        let mut written = written.into_iter();
        for (at, outcome) in refused {
            all.extend(written.by_ref().take(at.saturating_sub(all.len())));
            all.push(outcome);
        }
        all.extend(written);
        all
    }

    /// The edits to write, and what the others came to.
    pub(super) fn into_parts(self) -> (Vec<Edit>, Vec<(usize, EditOutcome)>) {
        (self.edits, self.refused)
    }

    /// Whether there is nothing for the writer to do.
    pub(super) fn is_refused(&self) -> bool {
        self.edits.is_empty() && !self.refused.is_empty()
    }
}

/// What is known of an edit before anybody is asked.
enum Judged {
    /// Written without a question: design documents, and revisions that are known.
    Pass,
    Conflict,
    Ask(Standing),
}

/// The revisions that an edit stands on.
struct Standing {
    /// The one that it replaces.
    old: Option<Rev>,
    /// The one that its stubs are of, where it has some.
    stubs: Option<Rev>,
}

impl Standing {
    fn revisions(&self) -> impl Iterator<Item = &Rev> {
        let other = self.stubs.as_ref().filter(|stubs| Some(*stubs) != self.old.as_ref());
        self.old.iter().chain(other)
    }
}

/// Finds out what an edit replaces. A tombstone is recreated as if nothing had been there.
fn judge(tree: &RevTree, edit: &Edit) -> Judged {
    if edit.id.is_design() {
        return Judged::Pass;
    }
    let (old, below) = match apply::place(tree, &edit.base) {
        Place::Known(_) => return Judged::Pass,
        Place::Conflict => return Judged::Conflict,
        Place::Below(below) => match edit.base {
            Base::New => (None, below),
            Base::On(_) | Base::Replicated(_) => (below.clone(), below),
        },
        Place::Path(path) => {
            let ancestor = apply::stored_ancestor(tree, &path);
            (ancestor.clone(), ancestor)
        }
    };
    let has_stubs = edit.attachments.iter().any(|att| matches!(att.source, Source::Stub));
    Judged::Ask(Standing { old, stubs: below.filter(|_| has_stubs) })
}

/// What functions are asked with.
struct Asking<'a> {
    db: &'a Database,
    validators: Vec<Arc<Ddoc>>,
    user: String,
    security: String,
}

/// An edit that functions are to be asked about.
struct Open<'a> {
    /// Its place in the request.
    at: usize,
    edit: &'a Edit,
    standing: Standing,
    tree: RevTree,
}

type Refused = Vec<(usize, EditOutcome)>;
/// What to ask about an edit, or what becomes of it without a question.
type Prepared = Result<Question, EditOutcome>;

impl Asking<'_> {
    /// The edits that may not be written, with what became of them.
    fn refused(&self, edits: &[Edit]) -> Result<Refused, DatabaseError> {
        let ids: Vec<DocId> = edits.iter().map(|edit| edit.id.clone()).collect();
        let heads = self.db.heads(&ids)?;
        let (mut refused, mut open, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (at, (edit, head)) in edits.iter().zip(heads).enumerate() {
            let (tree, stored) = head.map_or_else(Default::default, |head| {
                let stored = head.external_bytes;
                (head.tree, stored)
            });
            match judge(&tree, edit) {
                Judged::Pass => continue,
                Judged::Conflict => refused.push((at, EditOutcome::Conflict)),
                Judged::Ask(standing) => {
                    bytes += edit.body.len() as u64 + stored;
                    open.push(Open { at, edit, standing, tree });
                }
            }
            if open.len() >= ASKED_MAX || bytes >= ASKED_BYTES {
                self.ask(std::mem::take(&mut open), &mut refused)?;
                bytes = 0;
            }
        }
        self.ask(open, &mut refused)?;
        refused.sort_unstable_by_key(|(at, _)| *at);
        Ok(refused)
    }

    fn ask(&self, open: Vec<Open<'_>>, refused: &mut Refused) -> Result<(), DatabaseError> {
        let (mut places, mut questions) = (Vec::new(), Vec::new());
        for (at, question) in self.questions(open)? {
            match question {
                Ok(question) => {
                    places.push(at);
                    questions.push(question);
                }
                Err(outcome) => refused.push((at, outcome)),
            }
        }
        for ddoc in &self.validators {
            if questions.is_empty() {
                break;
            }
            let answers =
                self.db.validator.validate_all(ddoc, &questions, &self.user, &self.security);
            let mut answers = answers.into_iter();
            let asked = std::mem::take(&mut places).into_iter().zip(std::mem::take(&mut questions));
            for (at, question) in asked {
                let unanswered = || Err(FunctionError::InvalidAnswer("none".to_owned()));
                match answers.next().unwrap_or_else(unanswered) {
                    Ok(()) => {
                        places.push(at);
                        questions.push(question);
                    }
                    // Refused once, a document needs no other opinion.
                    Err(error) => refused.push((at, EditOutcome::Refused(error))),
                }
            }
        }
        Ok(())
    }

    fn questions(&self, open: Vec<Open<'_>>) -> Result<Vec<(usize, Prepared)>, DatabaseError> {
        let wanted: Vec<(DocId, Rev)> = open
            .iter()
            .flat_map(|open| {
                open.standing.revisions().map(|rev| (open.edit.id.clone(), rev.clone()))
            })
            .collect();
        let mut read = self.db.revisions(&wanted)?.into_iter();
        let question = |Open { at, edit, standing, tree }: Open<'_>| {
            let count = standing.revisions().count();
            let below: Vec<Document> = read.by_ref().take(count).flatten().collect();
            let find =
                |rev: &Option<Rev>| below.iter().find(|read| Some(&read.rev) == rev.as_ref());
            let old = find(&standing.old);
            if matches!(edit.base, Base::On(_)) && old.is_none() {
                // It was a leaf a moment ago: somebody has replaced it since.
                return (at, Err(EditOutcome::Conflict));
            }
            let question = match question::new_document(edit, find(&standing.stubs)) {
                Ok(new) => Ok(Question { new, old: question::old_document(old, &tree) }),
                Err(name) => Err(EditOutcome::MissingStub { name }),
            };
            (at, question)
        };
        Ok(open.into_iter().map(question).collect())
    }
}

impl Database {
    /// Admits edits where it is known at once that nobody has to be asked; gives them back
    /// otherwise.
    pub fn admit_unasked(&self, edits: Vec<Edit>) -> Result<Admitted, Vec<Edit>> {
        if self.rules.is_none() && self.nobody_validates() {
            Ok(Admitted::by_server(edits))
        } else {
            Err(edits)
        }
    }

    /// Asks the server's own rules and the validation functions about `edits`. Design documents
    /// are left to those who know who is an admin. Blocks.
    pub fn admit(&self, edits: Vec<Edit>, author: &Author) -> Result<Admitted, DatabaseError> {
        let Author::User { name, roles } = author else { return Ok(Admitted::by_server(edits)) };
        let (edits, mut refused) = self.prepare(edits, author);
        let validators = self.validators()?;
        if !validators.is_empty() {
            let user = json!({"db": self.name().as_str(), "name": name, "roles": roles});
            let user = user.to_string();
            let security = String::from_utf8_lossy(&self.security()).into_owned();
            let (places, asked): (Vec<usize>, Vec<Edit>) = edits.into_iter().unzip();
            let found = Asking { db: self, validators, user, security }.refused(&asked)?;
            let mut found = found.into_iter().peekable();
            let mut admitted = Vec::with_capacity(asked.len());
            for ((at, edit), place) in asked.into_iter().enumerate().zip(places) {
                match found.next_if(|(refused, _)| *refused == at) {
                    Some((_, outcome)) => refused.push((place, outcome)),
                    None => admitted.push(edit),
                }
            }
            refused.sort_by_key(|(at, _)| *at);
            return Ok(Admitted { edits: admitted, refused });
        }
        Ok(Admitted { edits: edits.into_iter().map(|(_, edit)| edit).collect(), refused })
    }

    /// What the server's own rules make of edits: those that pass, with their places, and why
    /// the others do not.
    fn prepare(&self, edits: Vec<Edit>, author: &Author) -> (Vec<(usize, Edit)>, Refused) {
        let mut refused = Vec::new();
        let Some(rules) = &self.rules else {
            return (edits.into_iter().enumerate().collect(), refused);
        };
        let mut passed = Vec::with_capacity(edits.len());
        for (at, mut edit) in edits.into_iter().enumerate() {
            match rules.prepare(self, &mut edit, author) {
                Ok(()) => passed.push((at, edit)),
                Err(error) => refused.push((at, EditOutcome::Refused(error))),
            }
        }
        (passed, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_in_the_order_of_the_request() {
        let known = |text: &str| EditOutcome::Known(Rev::parse(text).unwrap());
        let refused = |at| (at, EditOutcome::Conflict);
        let check = |refused: Refused, written: &[&str], expect: &[&str]| {
            let written = written.iter().map(|rev| known(rev)).collect();
            let found = Admitted::outcomes(refused, written);
            let expect: Vec<EditOutcome> = expect
                .iter()
                .map(|rev| if *rev == "no" { EditOutcome::Conflict } else { known(rev) })
                .collect();
            assert_eq!(found, expect);
        };
        check(vec![], &["1-a", "1-b"], &["1-a", "1-b"]);
        check(vec![refused(0), refused(2)], &["1-a", "1-b"], &["no", "1-a", "no", "1-b"]);
        check(vec![refused(1), refused(2)], &["1-a"], &["1-a", "no", "no"]);
        check(vec![refused(0)], &[], &["no"]);
    }
}
