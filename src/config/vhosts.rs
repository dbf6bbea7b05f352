//! `[vhosts]`: which paths a host name stands for.
//!
//! A key is `host[:port][/path]`, its value the path that requests go to. In hosts `*` stands for
//! any names before the rest, `:name` for one name; both may be used in the value. The most
//! specific host is looked at first: from its last name on, names before variables before `*`;
//! then a port before none, then the longer path.

use std::cmp::Ordering;

use super::reader::Reader;

/// The virtual hosts, the most specific first.
#[derive(Debug, Clone, Default)]
pub struct VhostsSettings(Vec<Vhost>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Vhost {
    host: Vec<Piece>,
    port: Option<u16>,
    path: Vec<String>,
    target: Vec<Piece>,
}

/// A name in a host, or a segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Everything,
    Variable(String),
    Literal(String),
}

/// Where a virtual host sends a request; both are raw paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhostMatch {
    /// What stands before the path.
    pub target: String,
    /// The path, without what the host's key says of it.
    pub path: String,
}

impl VhostsSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let section = reader.values().get("vhosts");
        let set = section.into_iter().flatten().filter(|(_, target)| !target.is_empty());
        let mut vhosts: Vec<Vhost> = set.map(|(key, target)| Vhost::parse(key, target)).collect();
        vhosts.sort_by(Vhost::by_specificity);
        Self(vhosts)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a request goes; `host` is the header's value, `path` is raw and has no query.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<VhostMatch> {
        // The names get into paths, so nothing may hide in them.
        if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)) {
            return None;
        }
        let (names, port) = split_port(host);
        let names = names.split('.').filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        self.0.iter().find_map(|vhost| vhost.apply(&names, port, &segments))
    }
}

impl Vhost {
    fn parse(key: &str, target: &str) -> Self {
        let (host, path) = key.split_once('/').unwrap_or((key, ""));
        let (names, port) = split_port(host);
        let names = if names.is_empty() { "*" } else { names };
        let host = pieces(&names.to_ascii_lowercase(), '.');
        let path = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned);
        let target = target.split('?').next().unwrap_or_default();
        Self { host, port, path: path.collect(), target: pieces(target, '/') }
    }

    /// The more specific is less.
    fn by_specificity(one: &Self, two: &Self) -> Ordering {
        let from_the_end = |vhost: &Self| vhost.host.iter().rev().cloned().collect::<Vec<_>>();
        let hosts = from_the_end(two).cmp(&from_the_end(one));
        hosts.then(two.port.cmp(&one.port)).then(two.path.len().cmp(&one.path.len()))
    }

    fn apply(&self, names: &[String], port: Option<u16>, segments: &[&str]) -> Option<VhostMatch> {
        if self.port.is_some() && self.port != port {
            return None;
        }
        let rest = segments.get(self.path.len()..)?;
        if !self.path.iter().zip(segments).all(|(wanted, segment)| wanted == segment) {
            return None;
        }
        let mut bound = Vec::new();
        let mut names = names.iter().rev();
        let mut others = Vec::new();
        for piece in self.host.iter().rev() {
            match piece {
                Piece::Everything => {
                    others.extend(names.by_ref().map(String::as_str));
                    if others.is_empty() {
                        return None;
                    }
                    break;
                }
                Piece::Variable(name) => bound.push((name.as_str(), names.next()?.as_str())),
                Piece::Literal(literal) => {
                    names.next().filter(|name| *name == literal)?;
                }
            }
        }
        if names.next().is_some() {
            return None;
        }
        let target = make_target(&self.target, &bound, &others);
        Some(VhostMatch { target, path: format!("/{}", rest.join("/")) })
    }
}

fn make_target(target: &[Piece], bound: &[(&str, &str)], others: &[&str]) -> String {
    let mut path = String::new();
    let mut push = |segment: &str| {
        path.push('/');
        path.push_str(segment);
    };
    for piece in target {
        match piece {
            Piece::Everything => {
                for name in others {
                    push(name);
                }
                break;
            }
            Piece::Variable(name) => {
                let value = bound.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                push(value.map_or("undefined", |(_, value)| value));
            }
            Piece::Literal(literal) => push(literal),
        }
    }
    path
}

/// A host and its port, where what follows the last colon is one.
fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

fn pieces(text: &str, separator: char) -> Vec<Piece> {
    let pieces = text.split(separator).filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| match (piece, piece.strip_prefix(':')) {
            ("*", _) => Piece::Everything,
            (_, Some(name)) if !name.is_empty() => Piece::Variable(name.to_owned()),
            _ => Piece::Literal(piece.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Override};

    fn check(vhosts: &[(&str, &str)], host: &str, path: &str, expect: Option<(&str, &str)>) {
        let set = vhosts.iter().map(|(key, target)| Override::new("vhosts", *key, *target));
        let settings = Config::in_memory(set.collect()).unwrap().snapshot();
        let expect = expect
            .map(|(target, path)| VhostMatch { target: target.to_owned(), path: path.to_owned() });
        assert_eq!(settings.vhosts.find(host, path), expect, "{host}{path} by {vhosts:?}");
    }

    #[test]
    fn hosts_ports_and_paths() {
        let app = "/db/_design/app/_rewrite";
        let one: &[_] = &[("example.com", app)];
        check(one, "example.com", "/", Some((app, "/")));
        check(one, "Example.COM:5984", "/a/b%2Fc", Some((app, "/a/b%2Fc")));
        check(one, "www.example.com", "/", None);
        check(one, "com", "/", None);
        check(one, "", "/", None);
        check(one, "example.com/x", "/", None);
        let ports: &[_] = &[("a.b", "/any"), ("a.b:80", "/eighty"), ("a.b:x", "/never")];
        check(ports, "a.b", "/", Some(("/any", "/")));
        check(ports, "a.b:80", "/", Some(("/eighty", "/")));
        check(ports, "a.b:81", "/", Some(("/any", "/")));
        let paths: &[_] = &[("a.b", "/all"), ("a.b/p", "/p"), ("a.b/p/q/", "/pq"), ("/r", "/r")];
        check(paths, "a.b", "/x", Some(("/all", "/x")));
        check(paths, "a.b", "/p/x", Some(("/p", "/x")));
        check(paths, "a.b", "/p/q", Some(("/pq", "/")));
        check(paths, "a.b", "/pp", Some(("/all", "/pp")));
        check(paths, "c.d", "/r/x", Some(("/r", "/x")));
        check(paths, "c.d", "/x", None);
    }

    #[test]
    fn stars_and_variables() {
        let star: &[_] = &[("*.example.com", "/*"), ("*", "/main/"), ("*.b.example.com", "/b/*/c")];
        check(star, "db.example.com", "/d", Some(("/db", "/d")));
        check(star, "x.y.example.com", "/d", Some(("/y/x", "/d")));
        check(star, "x.b.example.com", "/", Some(("/b/x", "/")));
        check(star, "example.com", "/", Some(("/main", "/")));
        let names: &[_] = &[
            (":app.:DB.example.com", "/:db/_design/:app/_rewrite"),
            (":db.example.com", "/:db/:none"),
            ("my.example.com", "/mine"),
        ];
        check(names, "blog.data.example.com", "/", Some(("/data/_design/blog/_rewrite", "/")));
        check(names, "data.example.com", "/", Some(("/data/undefined", "/")));
        check(names, "my.example.com", "/", Some(("/mine", "/")));
    }
}
