//! What happens to a database while an index of it is built. The mapper of the tests lets it happen
//! before it maps, so that it always falls into the same place of a build.

use proptest::prelude::*;

use super::histories::happening;
use super::*;

/// Three chunks of changes, which several threads map.
const DOCUMENTS: usize = 300;
/// Calls of the mapper that are let pass.
const CALLS: Range<usize> = 0..3;

fn doc(number: usize) -> String {
    format!("{number:03}")
}

fn filled() -> Arc<Fixture> {
    let fixture = fixture();
    let body = |number: usize| json!({"keys": [number % 7, [number]], "value": number});
    let documents = (0..DOCUMENTS).map(|number| (doc(number), Some(body(number))));
    fixture.write(&documents.collect::<Vec<_>>());
    Arc::new(fixture)
}

impl Fixture {
    fn meanwhile(self: &Arc<Self>, calls: usize, act: impl FnOnce(&Self) + Send + 'static) {
        let fixture = self.clone();
        *self.hooks.meanwhile.lock().unwrap() = Some((calls, Box::new(move || act(&fixture))));
    }

    /// Runs one update; how it has ended.
    fn run(&self) -> Reached {
        let index = self.index();
        index.update().unwrap().run();
        assert!(self.hooks.meanwhile.lock().unwrap().is_none(), "it has happened");
        index.subscribe().borrow().clone()
    }

    fn catches_up(&self) {
        assert!(self.update().is_none());
        self.check();
    }

    fn change_some(&self) {
        for number in [0, 150, 299] {
            self.put(&doc(number), json!(["changed"]), json!(number));
        }
        let gone = [1, 151, 298].map(|number| (doc(number), None));
        self.write(&gone);
        self.put("new", json!(["new"]), json!(1));
    }
}

#[test]
fn an_index_is_that_of_the_moment_at_which_its_changes_were_read() {
    for calls in CALLS {
        let fixture = filled();
        let (rows, seq) = (fixture.expected(), fixture.db.state().update_seq);
        fixture.meanwhile(calls, Fixture::change_some);
        let reached = fixture.run();
        assert!(reached.failure.is_none());
        assert_eq!((reached.seq, fixture.rows()), (seq, rows));
        fixture.catches_up();
    }
}

#[test]
fn revisions_that_are_compacted_away_meanwhile_are_missed_by_nobody() {
    for calls in CALLS {
        let fixture = filled();
        fixture.meanwhile(calls, |fixture| {
            fixture.change_some();
            assert!(fixture.db.compact().unwrap());
        });
        assert!(fixture.run().failure.is_none());
        fixture.catches_up();
    }
}

#[test]
fn queries_that_come_during_a_build_share_it() {
    let fixture = filled();
    fixture.meanwhile(1, |fixture| {
        assert!(fixture.index().update().is_none(), "somebody is at it");
        fixture.put("late", json!(["late"]), json!(1));
        assert!(fixture.index().update().is_none(), "who will see to this, too");
        assert_eq!(fixture.views.building().len(), 1);
    });
    let reached = fixture.run();
    assert!(reached.failure.is_none());
    assert_eq!((reached.updates, reached.seq), (1, fixture.db.state().update_seq));
    assert_eq!(fixture.hooks.mapped.load(Ordering::SeqCst), DOCUMENTS + 1);
    fixture.check();
}

#[test]
fn a_database_that_is_deleted_meanwhile_keeps_nothing() {
    for (calls, is_recreated) in CALLS.flat_map(|calls| [(calls, false), (calls, true)]) {
        let fixture = filled();
        fixture.meanwhile(calls, move |fixture| {
            fixture.registry.delete(&name()).unwrap().wait().unwrap();
            if is_recreated {
                fixture.registry.create(&name(), CreateOptions::default()).unwrap();
            }
        });
        let failure = fixture.run().failure;
        let is_gone = matches!(failure, Some(ViewsError::Database(DatabaseError::NotFound)));
        assert!(is_gone, "{failure:?}");
        for table in [Table::Indexes, Table::ViewRows, Table::ViewEmits, Table::ViewBlocks] {
            assert_eq!(fixture.count(table), 0, "{table:?}");
        }
        if is_recreated {
            let fixture = Arc::into_inner(fixture).unwrap();
            let fixture = Fixture { db: fixture.registry.get(&name()).unwrap(), ..fixture };
            fixture.put("a", json!(["x"]), json!(1));
            fixture.catches_up();
        }
    }
}

#[test]
fn a_design_document_that_changes_meanwhile_has_another_index() {
    let changed =
        json!({"language": "test", "views": {"one": {"map": "0"}, "two": {"map": "changed"}}});
    for (calls, is_cleaned) in CALLS.flat_map(|calls| [(calls, false), (calls, true)]) {
        let (fixture, changed) = (filled(), ddoc(&changed));
        let of_changed = fixture.views.index(&fixture.db, &changed).unwrap();
        let index = of_changed.clone();
        fixture.meanwhile(calls, move |fixture| {
            if is_cleaned {
                let kept = HashSet::from([index.group().signature.clone()]);
                fixture.views.cleanup(&fixture.db, || Ok(kept)).unwrap();
            }
            index.update().unwrap().run();
        });
        match fixture.run().failure {
            Some(ViewsError::Dropped) if is_cleaned => {}
            None if !is_cleaned => assert_eq!(fixture.rows(), fixture.expected()),
            other => panic!("{other:?}"),
        }
        let entry = of_changed.entry(fixture.engine.snapshot().as_ref()).unwrap().unwrap();
        let rows = fixture.rows_of(entry.number);
        assert_eq!((entry.seq, &rows), (DOCUMENTS as u64, &fixture.expected()));
        let indexes = if is_cleaned { 1 } else { 2 };
        assert_eq!(fixture.count(Table::ViewRows), indexes * rows.len());
        assert!(fixture.update().is_none(), "who asks for the old one gets it");
        assert_eq!(fixture.rows(), fixture.expected());
    }
}

#[test]
fn documents_that_are_purged_meanwhile_leave_the_index() {
    for (calls, remembered) in CALLS.flat_map(|calls| [(calls, 2), (calls, 1000)]) {
        let fixture = filled();
        fixture.db.set_purged_infos_limit(remembered).unwrap().wait().unwrap();
        fixture.meanwhile(calls, |fixture| {
            for number in [0, 1, 150, 299] {
                fixture.purge(&doc(number));
            }
            fixture.put(&doc(1), json!(["again"]), json!(1));
        });
        let reached = fixture.run();
        assert!(reached.failure.is_none());
        assert_eq!(reached.purge_seq, 0);
        fixture.catches_up();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_happens_meanwhile_is_in_the_next_update(
        rounds in prop::collection::vec(
            (
                CALLS,
                prop::collection::vec(happening(), 0..6),
                prop::collection::vec(happening(), 0..6),
                0..3u32,
            ),
            1..5,
        ),
    ) {
        let fixture = filled();
        // Documents of all chunks.
        let name = |number: u8| doc(usize::from(number) * 59);
        for (round, (calls, before, meanwhile, failing)) in rounds.into_iter().enumerate() {
            for happening in &before {
                fixture.happens(happening, &name);
            }
            // Only the first build calls the mapper more than once.
            let calls = if round == 0 { calls } else { 0 };
            fixture.meanwhile(calls, move |fixture| {
                for happening in &meanwhile {
                    fixture.happens(happening, &name);
                }
                fixture.engine.fail_commits(failing);
            });
            fixture.index().update().unwrap().run();
            fixture.engine.fail_commits(0);
            *fixture.hooks.meanwhile.lock().unwrap() = None;
            fixture.catches_up();
        }
    }
}
