//! Replication ids as CouchDB 3 computes them (version 4): the MD5 of an Erlang term that names
//! the server, both sides and what is chosen (couchdb-api.md A5).
//!
//! Equal replications have equal ids, whatever password they use; so a replication that is asked
//! for again goes on from its checkpoint.

use std::fmt;

use md5::{Digest, Md5};
use serde_json::{Map, Value};

use super::endpoint::Remote;
use super::{Endpoint, Selection, Specification};

/// The name of a replication.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicationId {
    /// 32 hexadecimal digits: the name of its checkpoints.
    pub base: String,
    /// What its jobs are called beside that: `+continuous`, `+create_target`.
    pub extension: String,
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base, self.extension)
    }
}

impl ReplicationId {
    /// The id of a replication of the server `uuid`. `filter_code` is the source of the filter
    /// function, where there is one; `local` says where this server's own databases are.
    #[must_use]
    pub fn of(
        specification: &Specification,
        uuid: &str,
        filter_code: Option<&str>,
        local: &Remote,
    ) -> Self {
        let mut parts = vec![
            binary(uuid),
            endpoint(&specification.source, local),
            endpoint(&specification.target, local),
        ];
        parts.extend(selection(&specification.selection, filter_code));
        if specification.winning_revs_only {
            parts.push(atom("winning_revs_only"));
        }
        let mut term = vec![VERSION];
        term.extend(list(&parts));
        let base = format!("{:032x}", u128::from_be_bytes(Md5::digest(&term).into()));
        let mut extension = String::new();
        if specification.continuous {
            extension.push_str("+continuous");
        }
        if specification.create_target.is_some() {
            extension.push_str("+create_target");
        }
        Self { base, extension }
    }
}

/// Tags of Erlang's external term format.
const VERSION: u8 = 131;
const SMALL_INTEGER: u8 = 0x61;
const INTEGER: u8 = 0x62;
const NEW_FLOAT: u8 = 0x46;
const ATOM: u8 = 0x64;
const SMALL_TUPLE: u8 = 0x68;
const NIL: u8 = 0x6a;
const STRING: u8 = 0x6b;
const LIST: u8 = 0x6c;
const BINARY: u8 = 0x6d;
const SMALL_BIG: u8 = 0x6e;

type Term = Vec<u8>;

fn with_length(tag: u8, length: usize, body: &[u8]) -> Term {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn binary(text: &str) -> Term {
    with_length(BINARY, text.len(), text.as_bytes())
}

fn atom(name: &str) -> Term {
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[ATOM], &length[..], name.as_bytes()].concat()
}

/// A text that Erlang keeps as a list of its bytes.
fn string(text: &str) -> Term {
    match u16::try_from(text.len()) {
        Ok(0) => vec![NIL],
        Ok(length) => [&[STRING], &length.to_be_bytes()[..], text.as_bytes()].concat(),
        Err(_) => {
            let bytes = text.bytes().map(|byte| vec![SMALL_INTEGER, byte]);
            list(&bytes.collect::<Vec<_>>())
        }
    }
}

fn list(elements: &[Term]) -> Term {
    if elements.is_empty() {
        return vec![NIL];
    }
    let mut term = with_length(LIST, elements.len(), &elements.concat());
    term.push(NIL);
    term
}

fn tuple(elements: &[Term]) -> Term {
    let arity = u8::try_from(elements.len()).unwrap_or(u8::MAX);
    [&[SMALL_TUPLE, arity], &elements.concat()[..]].concat()
}

fn integer(number: i64) -> Term {
    if let Ok(small) = u8::try_from(number) {
        return vec![SMALL_INTEGER, small];
    }
    if let Ok(word) = i32::try_from(number) {
        return [&[INTEGER], &word.to_be_bytes()[..]].concat();
    }
    // The least digit first.
    let mut digits = number.unsigned_abs().to_be_bytes();
    digits.reverse();
    let length = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
    let (count, sign) = (u8::try_from(length).unwrap_or(8), u8::from(number < 0));
    [&[SMALL_BIG, count, sign], digits.get(..length).unwrap_or(&digits)].concat()
}

/// `{remote, User, Host, Port, Path, Headers, undefined}`.
fn endpoint(endpoint: &Endpoint, local: &Remote) -> Term {
    let (remote, path) = match endpoint {
        Endpoint::Remote(remote) => (remote, remote.path.clone()),
        Endpoint::Local(name) => {
            (local, format!("/{}/", crate::http::path::encode_segment(name.as_str())))
        }
    };
    let user = remote.credentials.as_ref();
    let headers = remote.headers.iter().map(|(name, value)| tuple(&[string(name), string(value)]));
    tuple(&[
        atom("remote"),
        user.map_or_else(|| atom("undefined"), |user| string(&user.name)),
        string(&remote.host),
        remote.unusual_port().map_or_else(|| atom("default"), |port| integer(port.into())),
        string(&path),
        list(&headers.collect::<Vec<_>>()),
        atom("undefined"),
    ])
}

/// What is chosen, in the parts that CouchDB appends.
fn selection(selection: &Selection, filter_code: Option<&str>) -> Vec<Term> {
    match selection {
        Selection::Everything => Vec::new(),
        Selection::DocIds(ids) => vec![list(&ids.iter().map(|id| binary(id)).collect::<Vec<_>>())],
        Selection::Filter { name, query_params } => {
            let code = filter_code.unwrap_or(name);
            vec![binary(code), object(query_params)]
        }
        Selection::Selector(selector) => vec![json(selector)],
    }
}

/// `{[{Name, Value}, ...]}`, in order of the names: two ways to write the same are the same.
fn object(members: &Map<String, Value>) -> Term {
    let mut members: Vec<(&String, &Value)> = members.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    let pairs = members.into_iter().map(|(name, value)| tuple(&[binary(name), json(value)]));
    tuple(&[list(&pairs.collect::<Vec<_>>())])
}

/// Recursion goes as deep as the value, which the parser that made it has bounded.
fn json(value: &Value) -> Term {
    match value {
        Value::Null => atom("null"),
        Value::Bool(true) => atom("true"),
        Value::Bool(false) => atom("false"),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => integer(number),
            (None, Some(double)) => [&[NEW_FLOAT], &double.to_be_bytes()[..]].concat(),
            (None, None) => binary(&number.to_string()),
        },
        Value::String(text) => binary(text),
        Value::Array(elements) => list(&elements.iter().map(json).collect::<Vec<_>>()),
        Value::Object(members) => object(members),
    }
}
