//! Options of sockets, as Erlang writes them: `[{sndbuf, 262144}, {nodelay, true}]`.

/// What is set on a socket; what is not named stays as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// Whether small answers are sent at once. On unless it is turned off.
    pub nodelay: bool,
    pub keepalive: bool,
    /// Bytes that wait to be sent.
    pub sndbuf: Option<usize>,
    /// Bytes that wait to be read.
    pub recbuf: Option<usize>,
}

impl SocketOptions {
    /// Reads a list. Options that are not known here are left out.
    pub fn parse(text: &str) -> Option<Self> {
        let list = text.trim().strip_prefix('[')?.strip_suffix(']')?;
        let mut options = Self { nodelay: true, keepalive: false, sndbuf: None, recbuf: None };
        for pair in list.split('{').skip(1) {
            let (name, value) = pair.split_once('}')?.0.split_once(',')?;
            let value = value.trim();
            match name.trim() {
                "nodelay" => options.nodelay = value.parse().ok()?,
                "keepalive" => options.keepalive = value.parse().ok()?,
                "sndbuf" | "recbuf" if value == "undefined" => {}
                "sndbuf" => options.sndbuf = Some(size(value)?),
                "recbuf" => options.recbuf = Some(size(value)?),
                _ => {}
            }
        }
        Some(options)
    }
}

fn size(value: &str) -> Option<usize> {
    value.parse().ok().filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_options() {
        let check = |text: &str, expect: Option<(bool, bool, Option<usize>, Option<usize>)>| {
            let found = SocketOptions::parse(text);
            let found = found.map(|found| {
                let SocketOptions { nodelay, keepalive, sndbuf, recbuf } = found;
                (nodelay, keepalive, sndbuf, recbuf)
            });
            assert_eq!(found, expect, "{text}");
        };
        check("[]", Some((true, false, None, None)));
        check("[{sndbuf, 262144}, {nodelay, true}]", Some((true, false, Some(262_144), None)));
        check(" [{recbuf,undefined},{nodelay,false}] ", Some((false, false, None, None)));
        check("[{keepalive, true}, {recbuf, 9}, {priority, 1}]", Some((true, true, None, Some(9))));
        check("[{nodelay, maybe}]", None);
        check("[{sndbuf, 0}]", None);
        check("[{sndbuf}]", None);
        check("{nodelay, true}", None);
        check("nodelay", None);
    }
}
