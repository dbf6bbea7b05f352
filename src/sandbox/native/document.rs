//! The JSON of a document, or of several values, as a row of nodes, made in one pass over the text.
//!
//! Values stay in the text until somebody asks for them. The text is the server's own, so it is
//! JSON; where it is something that JavaScript sees in an odd way (half a surrogate pair, deep
//! nesting) there are no nodes and the engine reads it.

use std::collections::HashSet;

/// Values may be nested so deeply.
const DEPTH_MAX: usize = 64;

/// Texts may be so long: places in them are 32 bit numbers, and the engine's memory is not ours.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The place of a node.
pub(super) type NodeId = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    False,
    True,
    Number,
    /// A string whose characters stand in the text as they are.
    Text,
    /// A string with escapes.
    Escaped,
    Array,
    /// Its children are names and values in turn.
    Object,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub kind: Kind,
    /// The bytes of the value, without a string's quotes.
    pub start: u32,
    pub end: u32,
    /// The node after this one and all that is in it.
    pub next: NodeId,
    /// Elements of an array, members of an object.
    pub length: u32,
}

/// A document that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    text: &'a str,
    nodes: &'a [Node],
}

/// Values that a function is given, read one after the other.
#[derive(Debug, Default)]
pub(super) struct Values {
    text: String,
    nodes: Vec<Node>,
}

impl Values {
    /// Reads one more: an object or null. None where the engine must do it.
    pub fn add(&mut self, text: &str) -> Option<NodeId> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let root = self.nodes.len();
        let mut reader = Reader { bytes: &[], at: self.text.len(), nodes: &mut self.nodes };
        self.text.push_str(text);
        reader.bytes = self.text.as_bytes();
        reader.whole()?;
        let is_known = matches!(self.nodes.get(root)?.kind, Kind::Object | Kind::Null);
        is_known.then(|| u32::try_from(root).ok()).flatten()
    }

    /// How far it goes.
    pub fn end(&self) -> (usize, usize) {
        (self.text.len(), self.nodes.len())
    }

    /// Forgets what was added after an end.
    pub fn truncate(&mut self, (text, nodes): (usize, usize)) {
        self.text.truncate(text);
        self.nodes.truncate(nodes);
    }

    /// All values.
    pub fn document(&self) -> Document<'_> {
        Document { text: &self.text, nodes: &self.nodes }
    }
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub name: NodeId,
    pub value: NodeId,
}

/// What stands in the place of a node that does not exist.
const NOTHING: Node = Node { kind: Kind::Null, start: 0, end: 0, next: u32::MAX, length: 0 };

impl<'a> Document<'a> {
    /// The document itself.
    pub const ROOT: NodeId = 0;

    /// Reads a text into `nodes`; none where the engine must do it.
    pub fn read(text: &'a str, nodes: &'a mut Vec<Node>) -> Option<Self> {
        nodes.clear();
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, nodes };
        reader.whole()?;
        Some(Self { text, nodes })
    }

    pub fn node(&self, id: NodeId) -> Node {
        self.nodes.get(id as usize).copied().unwrap_or(NOTHING)
    }

    /// The text of a node as it stands in the document.
    pub fn raw(&self, node: Node) -> &'a str {
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    /// The value of an object's member, if the object itself has one of this name.
    pub fn member(&self, object: NodeId, name: &str) -> Option<NodeId> {
        let end = self.node(object).next;
        let (mut at, mut found) = (object + 1, None);
        while at < end {
            let key = self.node(at);
            if self.is_name(key, name) {
                found = Some(at + 1);
            }
            at = self.node(at + 1).next;
        }
        found
    }

    fn is_name(&self, key: Node, name: &str) -> bool {
        if key.kind == Kind::Text {
            (key.end - key.start) as usize == name.len() && self.raw(key) == name
        } else {
            self.unescaped(key) == name
        }
    }

    /// The characters of a string.
    pub fn unescaped(&self, node: Node) -> String {
        if node.kind == Kind::Text {
            return self.raw(node).to_owned();
        }
        let quoted = self.text.get(node.start as usize - 1..=node.end as usize);
        serde_json::from_str(quoted.unwrap_or_default()).unwrap_or_default()
    }

    /// The element of an array.
    pub fn element(&self, array: NodeId, index: u32, cursor: &mut Cursor) -> Option<NodeId> {
        let node = self.node(array);
        if index >= node.length {
            return None;
        }
        if node.next - array - 1 == node.length {
            return Some(array + 1 + index);
        }
        if cursor.array != array || cursor.index > index {
            *cursor = Cursor { array, index: 0, node: array + 1 };
        }
        while cursor.index < index {
            cursor.node = self.node(cursor.node).next;
            cursor.index += 1;
        }
        Some(cursor.node)
    }

    /// The elements of an array.
    pub fn elements(&self, array: NodeId) -> impl Iterator<Item = NodeId> + use<'a> {
        let (this, end) = (*self, self.node(array).next);
        let mut at = array + 1;
        std::iter::from_fn(move || {
            let element = (at < end).then_some(at)?;
            at = this.node(at).next;
            Some(element)
        })
    }

    /// The members of an object as JavaScript goes through them: names that are array indexes
    /// first, by number; of members with the same name the last, in the place of the first.
    pub fn members(&self, object: NodeId) -> Vec<Member> {
        let end = self.node(object).next;
        let mut members = Vec::with_capacity(self.node(object).length as usize);
        let mut at = object + 1;
        while at < end {
            members.push(Member { name: at, value: at + 1 });
            at = self.node(at + 1).next;
        }
        if self.has_twins(&members) {
            self.merge_twins(&mut members);
        }
        let index = |member: &Member| array_index(&self.unescaped(self.node(member.name)));
        if members.iter().any(|member| self.may_be_index(member.name)) {
            members.sort_by_key(|member| index(member).map_or((1, 0), |index| (0, index)));
        }
        members
    }

    fn may_be_index(&self, name: NodeId) -> bool {
        let node = self.node(name);
        node.kind == Kind::Escaped
            || self.raw(node).as_bytes().first().is_some_and(u8::is_ascii_digit)
    }

    fn has_twins(&self, members: &[Member]) -> bool {
        if members.iter().any(|member| self.node(member.name).kind == Kind::Escaped) {
            return true;
        }
        let mut names = members.iter().map(|member| self.raw(self.node(member.name)));
        if members.len() > 16 {
            let mut seen = HashSet::with_capacity(members.len());
            return !names.all(|name| seen.insert(name));
        }
        let names: Vec<&str> = names.collect();
        names.iter().enumerate().any(|(at, name)| names.iter().take(at).any(|other| other == name))
    }

    fn merge_twins(&self, members: &mut Vec<Member>) {
        let mut merged: Vec<(String, Member)> = Vec::with_capacity(members.len());
        let mut places = std::collections::HashMap::new();
        for member in members.iter() {
            let name = self.unescaped(self.node(member.name));
            let place = *places.entry(name.clone()).or_insert(merged.len());
            match merged.get_mut(place) {
                Some((_, before)) => before.value = member.value,
                None => merged.push((name, *member)),
            }
        }
        *members = merged.into_iter().map(|(_, member)| member).collect();
    }
}

/// Where the last look into an array of nested values has led.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cursor {
    array: NodeId,
    index: u32,
    node: NodeId,
}

/// The number of a name that stands for an array's element.
pub(super) fn array_index(name: &str) -> Option<u32> {
    let canonical = name == "0" || !name.starts_with('0');
    let digits = canonical && name.len() <= 10 && name.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return None;
    }
    name.parse().ok().filter(|index| *index < u32::MAX)
}

struct Reader<'a, 'n> {
    bytes: &'a [u8],
    at: usize,
    nodes: &'n mut Vec<Node>,
}

impl Reader<'_, '_> {
    /// Reads a value and nothing after it.
    fn whole(&mut self) -> Option<()> {
        self.value(0)?;
        self.skip_space();
        (self.at == self.bytes.len()).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) -> Option<()> {
        let next = u32::try_from(self.nodes.len() + 1).ok()?;
        let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
        self.nodes.push(Node { kind, start, end, next, length: 0 });
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        let start = self.at;
        match self.peek()? {
            b'"' => self.string(),
            b'{' => self.container(Kind::Object, b'}', depth),
            b'[' => self.container(Kind::Array, b']', depth),
            b't' => self.word("true", Kind::True),
            b'f' => self.word("false", Kind::False),
            b'n' => self.word("null", Kind::Null),
            b'-' | b'0'..=b'9' => {
                while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.peek() {
                    self.at += 1;
                }
                self.push(Kind::Number, start, self.at)
            }
            _ => None,
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Option<()> {
        let start = self.at;
        self.bytes.get(start..)?.starts_with(word.as_bytes()).then_some(())?;
        self.at += word.len();
        self.push(kind, start, self.at)
    }

    fn container(&mut self, kind: Kind, close: u8, depth: usize) -> Option<()> {
        let place = self.nodes.len();
        self.push(kind, self.at, self.at)?;
        self.at += 1;
        let mut length = 0;
        self.skip_space();
        if self.peek()? == close {
            self.at += 1;
        } else {
            (depth < DEPTH_MAX).then_some(())?;
            loop {
                if kind == Kind::Object {
                    self.skip_space();
                    (self.peek()? == b'"').then_some(())?;
                    self.string()?;
                    self.skip_space();
                    (self.peek()? == b':').then_some(())?;
                    self.at += 1;
                }
                self.value(depth + 1)?;
                length += 1;
                self.skip_space();
                let byte = self.peek()?;
                self.at += 1;
                match byte {
                    b',' => {}
                    byte if byte == close => break,
                    _ => return None,
                }
            }
        }
        let next = u32::try_from(self.nodes.len()).ok()?;
        let node = self.nodes.get_mut(place)?;
        (node.next, node.length) = (next, length);
        node.end = u32::try_from(self.at).ok()?;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let start = self.at + 1;
        self.at = start;
        let mut kind = Kind::Text;
        loop {
            self.at += plain_bytes(self.bytes.get(self.at..)?);
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                byte if byte < 0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.push(kind, start, self.at - 1)
    }

    /// Goes over an escape, and over both of a surrogate pair.
    fn escape(&mut self) -> Option<()> {
        if self.bytes.get(self.at + 1)? != &b'u' {
            self.at += 2;
            return Some(());
        }
        let unit = self.unit(self.at)?;
        self.at += 6;
        match unit {
            0xd800..=0xdbff => {
                let low = self.unit(self.at)?;
                self.at += 6;
                (0xdc00..=0xdfff).contains(&low).then_some(())
            }
            0xdc00..=0xdfff => None,
            _ => Some(()),
        }
    }

    /// The number of the escape at `at`.
    fn unit(&self, at: usize) -> Option<u16> {
        let escape = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    }
}

/// How many bytes from the beginning, in steps of eight, are nothing special in a string.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let (words, _) = bytes.as_chunks::<8>();
    let special = |word: u64| {
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        (zeros(quote) | zeros(backslash) | controls) & HIGHS != 0
    };
    8 * words.iter().take_while(|word| !special(u64::from_ne_bytes(**word))).count()
}
