//! `couch_peruser`: a database for every user, of which the user is admin and member.
//!
//! The users database is followed from its beginning, so after a restart, and after a change of
//! the settings, everything is looked at again; what is as it should be is left alone.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::blocking;
use crate::changes::{self, ChangesError, Feed, News, Reached, Since};
use crate::config::{PeruserSettings, Settings};
use crate::database::{CreateOptions, Database, DatabaseError, DatabaseName, NameError, Registry};

use super::name_of;

/// Users that are looked at in one go.
const PAGE: usize = 32;
/// The sides of a security object on which a user stands.
const GROUPS: [&str; 2] = ["admins", "members"];

/// Creates and deletes the databases of users.
pub struct Peruser {
    registry: Arc<Registry>,
    now_s: fn() -> u64,
    settings: watch::Sender<Wanted>,
}

/// The settings that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    peruser: PeruserSettings,
    users_database: String,
}

impl Wanted {
    fn of(settings: &Settings) -> Self {
        let users_database = settings.auth.users_database().to_owned();
        Self { peruser: settings.peruser.clone(), users_database }
    }
}

/// Why a user has no database.
#[derive(Debug, thiserror::Error)]
enum PeruserError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("its security object cannot be read")]
    Security,
}

/// A user, and whether the user is gone.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    name: String,
    deleted: bool,
}

impl Peruser {
    /// Does nothing until it is driven.
    #[must_use]
    pub fn new(registry: Arc<Registry>, settings: &Settings, now_s: fn() -> u64) -> Self {
        Self { registry, now_s, settings: watch::Sender::new(Wanted::of(settings)) }
    }

    /// Has the settings obeyed from now on.
    pub fn apply(&self, settings: &Settings) {
        let wanted = Wanted::of(settings);
        self.settings.send_if_modified(|current| {
            let changed = *current != wanted;
            *current = wanted;
            changed
        });
    }

    /// Follows the users database, while it is enabled, until `stop`.
    pub async fn drive(self: Arc<Self>, stop: CancellationToken) {
        let mut settings = self.settings.subscribe();
        loop {
            let wanted = settings.borrow_and_update().clone();
            let enabled = wanted.peruser.enable;
            tokio::select! {
                () = self.follow_users(&wanted), if enabled => {}
                changed = settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Follows the database, and whichever comes after it under its name.
    async fn follow_users(self: &Arc<Self>, wanted: &Wanted) {
        let mut created = self.registry.subscribe_created();
        let Ok(name) = DatabaseName::parse(&wanted.users_database) else {
            return std::future::pending().await;
        };
        loop {
            match self.registry.get(&name) {
                Ok(db) => self.follow(&db, wanted).await,
                Err(_) => loop {
                    match created.recv().await {
                        Ok(other) if other != name => {}
                        Ok(_) | Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return,
                    }
                },
            }
        }
    }

    /// Follows one database until it is deleted.
    async fn follow(self: &Arc<Self>, db: &Arc<Database>, wanted: &Wanted) {
        let mut feed = Feed::new(db.clone(), Since::Beginning, changes::Options::default());
        loop {
            let (peruser, settings) = (self.clone(), wanted.peruser.clone());
            let done = blocking::run("look after databases of users", move || {
                let reached = peruser.page(&mut feed, &settings);
                (feed, reached)
            });
            let Ok((read, reached)) = done.await else { return };
            feed = read;
            let reached = reached.unwrap_or_else(|error| {
                tracing::error!(%error, "the users cannot be read");
                Reached::PassEnd
            });
            if reached == Reached::PassEnd && feed.news().await == News::DatabaseDeleted {
                return;
            }
        }
    }

    fn page(&self, feed: &mut Feed, settings: &PeruserSettings) -> Result<Reached, ChangesError> {
        let mut found = Vec::new();
        let reached = feed.cursor_mut().page(&mut |row| {
            found.extend(
                name_of(row.id.as_str())
                    .map(|name| Change { name: name.to_owned(), deleted: row.deleted }),
            );
            if found.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for change in found {
            if let Err(error) = self.update(&change, settings) {
                let Change { name, deleted } = change;
                tracing::error!(user.name = name, deleted, %error, "a user's database is not as it should be");
            }
        }
        Ok(reached)
    }

    fn update(&self, change: &Change, settings: &PeruserSettings) -> Result<(), PeruserError> {
        let name = DatabaseName::parse(&database_of(&change.name, settings))?;
        let known = match self.registry.get(&name) {
            Ok(db) => Some(db),
            Err(DatabaseError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        match (known, change.deleted) {
            (None, true) => Ok(()),
            (Some(db), true) if settings.delete_dbs => {
                Ok(self.registry.delete(db.name())?.wait()?)
            }
            (Some(db), true) => set_security(&db, |names| remove(names, &change.name)),
            (Some(db), false) => set_security(&db, |names| add(names, &change.name)),
            (None, false) => {
                let created_s = (self.now_s)();
                let options = CreateOptions { q: settings.q, created_s, partitioned: false };
                match self.registry.create(&name, options) {
                    Ok(()) | Err(DatabaseError::Exists) => {}
                    Err(error) => return Err(error.into()),
                }
                let db = self.registry.get(&name)?;
                set_security(&db, |names| add(names, &change.name))
            }
        }
    }
}

/// The name of a user's database.
fn database_of(user: &str, settings: &PeruserSettings) -> String {
    let prefix = settings.database_prefix.clone();
    user.bytes().fold(prefix, |name, byte| format!("{name}{byte:x}"))
}

/// Changes the names on both sides of a security object, and writes it where that changes it.
fn set_security(db: &Arc<Database>, change: impl Fn(&mut Vec<Value>)) -> Result<(), PeruserError> {
    let before: Map<String, Value> =
        serde_json::from_slice(&db.security()).map_err(|_| PeruserError::Security)?;
    let mut after = before.clone();
    for group in GROUPS {
        let mut members = match before.get(group) {
            None => Map::new(),
            Some(members) => members.as_object().cloned().ok_or(PeruserError::Security)?,
        };
        let names = members.get("names").and_then(Value::as_array);
        let mut names = names.cloned().unwrap_or_default();
        let length = names.len();
        change(&mut names);
        if names.len() != length {
            members.insert("names".to_owned(), Value::Array(names));
            after.insert(group.to_owned(), Value::Object(members));
        }
    }
    if after != before {
        let text = Value::Object(after).to_string();
        db.set_security(text.into_bytes())?.wait()?;
    }
    Ok(())
}

fn add(names: &mut Vec<Value>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.insert(0, name.into());
    }
}

fn remove(names: &mut Vec<Value>, name: &str) {
    names.retain(|known| known != name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_databases() {
        let settings = Settings::default().peruser;
        assert_eq!(database_of("bob", &settings), "userdb-626f62");
        assert_eq!(database_of("zoë", &settings), "userdb-7a6fc3ab");
        let prefixed = PeruserSettings { database_prefix: "u/".to_owned(), ..settings };
        assert_eq!(database_of("a", &prefixed), "u/61");
    }

    #[test]
    fn names_stand_once() {
        let mut names = vec![Value::from("a")];
        add(&mut names, "b");
        add(&mut names, "b");
        assert_eq!(names, ["b", "a"]);
        remove(&mut names, "a");
        remove(&mut names, "c");
        assert_eq!(names, ["b"]);
    }
}
