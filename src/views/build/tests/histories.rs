//! Any history of a database and of its indexes.

use proptest::prelude::*;

use super::*;

/// What may happen to a document.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Put(u8, Vec<u8>, u8),
    Delete(u8),
    Purge(u8),
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    let key = prop::collection::vec(0..4u8, 0..4);
    prop_oneof![
        3 => (0..6u8, key, 0..3u8).prop_map(|(doc, keys, value)| Happening::Put(doc, keys, value)),
        1 => (0..6u8).prop_map(Happening::Delete),
        1 => (0..6u8).prop_map(Happening::Purge),
    ]
}

impl Fixture {
    /// Lets something happen to the document that `name` makes of its number.
    pub(super) fn happens(&self, happening: &Happening, name: &dyn Fn(u8) -> String) {
        match happening {
            Happening::Put(doc, keys, value) => {
                let keys: Vec<Value> = keys.iter().copied().map(a_key).collect();
                self.put(&name(*doc), keys.into(), (*value).into());
            }
            Happening::Delete(doc) => {
                let winner = self.db.winner(&id(&name(*doc))).unwrap();
                if winner.is_some_and(|winner| !winner.deleted) {
                    self.write(&[(name(*doc), None)]);
                }
            }
            Happening::Purge(doc) => self.purge(&name(*doc)),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Happens(Happening),
    Update,
    FailedUpdate,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => happening().prop_map(Step::Happens),
        3 => Just(Step::Update),
        1 => Just(Step::FailedUpdate),
        1 => Just(Step::Reopen),
    ]
}

/// Keys of which the first two sort alike.
fn a_key(key: u8) -> Value {
    [json!("é"), json!("e\u{301}"), json!(1), json!({"a": [1]})][usize::from(key)].clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_history_gives_the_rows_of_the_live_documents(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut fixture = fixture();
        for step in steps {
            match step {
                Step::Happens(happening) => fixture.happens(&happening, &|doc| doc.to_string()),
                Step::Update => {
                    prop_assert!(fixture.update().is_none());
                    fixture.check();
                }
                Step::FailedUpdate => {
                    fixture.engine.fail_commits(1);
                    fixture.update();
                    fixture.engine.fail_commits(0);
                }
                Step::Reopen => {
                    let server = Views::new(fixture.views.functions());
                    let hooks = fixture.hooks.clone();
                    server.set_language("test", Arc::new(move |_, sources| {
                        Ok(Arc::new(TestMapper { hooks: hooks.clone(), views: sources.len() }))
                    }));
                    fixture.views = server;
                }
            }
        }
        prop_assert!(fixture.update().is_none());
        fixture.check();
    }
}
