//! The sink that writes normalised text.
//!
//! Text that is normal already is not copied piece by piece: the sink remembers where the part of
//! the source begins that it has yet to copy (`run`), and copies up to the next difference, so a
//! minified source costs one copy. Positions in the output are therefore counted with the part
//! that is still to come. Duplicate members are found when their object ends, and removed when
//! everything has been read: removing them at once would move the same bytes again at every level.

use std::borrow::Cow;
use std::ops::Range;

use super::number::Number;
use super::reader::{Container, Sink, Token};
use super::string::write_string;

/// A member of an object that has not ended yet.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// Where its name begins in the output, with the quote.
    start: usize,
    /// Bytes of the name in the output, with its quotes.
    name_bytes: usize,
}

/// Objects of up to this many members are searched for equal fingerprints pair by pair.
const PAIRWISE_MAX: usize = 24;
/// Room that is made at once: what ordinary documents need.
pub const USUAL_DEPTH: usize = 8;
pub const USUAL_MEMBERS: usize = 24;

pub struct Minified<'a> {
    source: &'a str,
    out: Vec<u8>,
    /// Where the part of the source begins that must still be copied.
    run: usize,
    /// The members of all open objects, the innermost object's last.
    members: Vec<Member>,
    /// A number for each of `members` that is equal for equal names, and seldom for others.
    fingerprints: Vec<u32>,
    /// Where in `members` each open container's members begin.
    open: Vec<usize>,
    /// Parts of the output that duplicate members have made void; they may lie in each other.
    void: Vec<Range<usize>>,
    /// Which members of the object that ended last were void, by position in it.
    void_members: Vec<usize>,
}

impl<'a> Minified<'a> {
    /// For what stands in `source` from the position `start`.
    pub fn new(source: &'a str, start: usize) -> Self {
        Self {
            source,
            out: Vec::new(),
            run: start,
            members: Vec::new(),
            fingerprints: Vec::new(),
            open: Vec::new(),
            void: Vec::new(),
            void_members: Vec::new(),
        }
    }

    /// Which members of the object that ended last were duplicates of later ones, counted from 0.
    pub fn void_members(&self) -> &[usize] {
        &self.void_members
    }

    /// Copies the source up to `end` and ends the output.
    pub fn finish(mut self, end: usize) -> Cow<'a, [u8]> {
        if self.out.is_empty() && self.void.is_empty() {
            return Cow::Borrowed(self.source.as_bytes().get(self.run..end).unwrap_or_default());
        }
        self.copy_to(end);
        remove(&mut self.out, self.void);
        Cow::Owned(self.out)
    }

    /// Copies the source up to `end`, and takes away a comma that stands there: the object's last
    /// members were left out.
    pub fn end_with_member_left_out(&mut self, end: usize) {
        self.copy_to(end);
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
    }

    fn copy_to(&mut self, end: usize) {
        if self.out.capacity() == 0 {
            self.out.reserve(self.source.len().saturating_sub(self.run));
        }
        let run = self.source.as_bytes().get(self.run..end);
        self.out.extend_from_slice(run.unwrap_or_default());
        self.run = end;
    }

    /// Writes a string anew whose form in the source is not the normal one.
    fn rewrite(&mut self, token: Token, content: &str) {
        self.copy_to(token.start);
        write_string(&mut self.out, content);
        self.run = token.end;
    }

    /// Whether two members from `first` on may have the same name.
    #[inline]
    fn may_have_duplicates(&self, first: usize) -> bool {
        let fingerprints = self.fingerprints.get(first..).unwrap_or_default();
        if fingerprints.len() > PAIRWISE_MAX {
            let mut sorted = fingerprints.to_vec();
            sorted.sort_unstable();
            return !sorted.is_sorted_by(|left, right| left < right);
        }
        let mut found = 0;
        let mut rest = fingerprints;
        while let Some((fingerprint, others)) = rest.split_first() {
            // Counting compares several at once, which is faster than to stop at the first.
            found += others.iter().filter(|other| *other == fingerprint).count();
            rest = others;
        }
        found > 0
    }

    /// Voids all members from `first` on whose name comes again later in the same object. The
    /// names must have been copied to the output.
    fn void_duplicates(&mut self, first: usize) {
        let members = self.members.get(first..).unwrap_or_default();
        let name = |member: &Member| {
            self.out.get(member.start..member.start + member.name_bytes).unwrap_or_default()
        };
        let mut sorted: Vec<(&u32, usize, &Member)> = (0..)
            .zip(members)
            .zip(self.fingerprints.get(first..).unwrap_or_default())
            .map(|((at, member), fingerprint)| (fingerprint, at, member))
            .collect();
        sorted.sort_unstable_by(|(left_print, left_at, left), (right_print, right_at, right)| {
            left_print
                .cmp(right_print)
                .then_with(|| name(left).cmp(name(right)))
                .then_with(|| left_at.cmp(right_at))
        });
        for pair in sorted.windows(2) {
            if let [(fingerprint, at, member), (later_fingerprint, _, later)] = pair
                && fingerprint == later_fingerprint
                && name(member) == name(later)
                && let Some(next) = members.get(at + 1)
            {
                self.void.push(member.start..next.start);
                self.void_members.push(*at);
            }
        }
    }
}

impl Sink for Minified<'_> {
    /// Also used for members that are left out.
    #[inline]
    fn skip(&mut self, from: usize, to: usize) {
        self.copy_to(from);
        self.run = to;
    }

    #[inline]
    fn open(&mut self, _: Container) {
        if self.open.is_empty() {
            self.open.reserve(USUAL_DEPTH);
            self.members.reserve(USUAL_MEMBERS);
            self.fingerprints.reserve(USUAL_MEMBERS);
        }
        self.open.push(self.members.len());
    }

    #[inline]
    fn key(&mut self, token: Token, content: &str) {
        if token.escaped {
            self.copy_to(token.start);
        }
        let start = self.out.len() + (token.start - self.run);
        let name_bytes = if token.escaped {
            self.rewrite(token, content);
            self.out.len() - start
        } else {
            token.end - token.start
        };
        self.members.push(Member { start, name_bytes });
        self.fingerprints.push(fingerprint(content.as_bytes()));
    }

    #[inline]
    fn string(&mut self, token: Token, content: &str) {
        if token.escaped {
            self.rewrite(token, content);
        }
    }

    #[inline]
    fn number(&mut self, _: &Number<'_>) {}

    #[inline]
    fn literal(&mut self, _: &'static str) {}

    #[inline]
    fn close(&mut self, container: Container, end: usize) {
        let first = self.open.pop().unwrap_or_default();
        if container == Container::Array {
            return;
        }
        self.void_members.clear();
        if self.may_have_duplicates(first) {
            self.copy_to(end);
            self.void_duplicates(first);
        }
        self.members.truncate(first);
        self.fingerprints.truncate(first);
    }
}

/// A number that is equal for equal names: from the first and the last eight bytes and the length.
#[inline]
fn fingerprint(name: &[u8]) -> u32 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let ends = if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        u64::from_ne_bytes(*head) ^ u64::from_ne_bytes(*tail).rotate_left(29)
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        u64::from(u32::from_ne_bytes(*head)) << 32 | u64::from(u32::from_ne_bytes(*tail))
    } else {
        name.iter().fold(0, |ends, byte| ends << 8 | u64::from(*byte))
    };
    let mixed = ends.wrapping_add(name.len() as u64).wrapping_mul(SPREAD);
    u32::try_from(mixed >> 32).unwrap_or_default()
}

/// Takes the given parts out of `bytes`; they may overlap and come in any order.
pub fn remove(bytes: &mut Vec<u8>, mut parts: Vec<Range<usize>>) {
    if parts.is_empty() {
        return;
    }
    parts.sort_unstable_by_key(|part| part.start);
    let (mut kept, mut read) = (0, 0);
    for part in parts.into_iter().chain(std::iter::once(bytes.len()..bytes.len())) {
        if part.start > read {
            bytes.copy_within(read..part.start, kept);
            kept += part.start - read;
        }
        read = read.max(part.end);
    }
    bytes.truncate(kept);
}
