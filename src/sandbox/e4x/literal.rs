//! XML literals: `<name attribute="value">text {expression}</name>`, and lists `<>...</>`.

use super::{DEPTH_MAX, Literal, quoted, rewrite};

/// Whether a literal begins with `rest`, where an expression may.
pub(super) fn begins(rest: &str) -> bool {
    let Some(after) = rest.strip_prefix('<') else { return false };
    after.chars().next().is_some_and(|c| matches!(c, '>' | '{') || is_name_start(c))
}

/// Reads the literal at `begin`, which stands in code of the given depth.
pub(super) fn read(source: &str, begin: usize, depth: usize) -> Option<Literal> {
    let mut reader = Reader { source, at: begin, depth: depth + 1 };
    let mut text = String::new();
    reader.element(&mut text)?;
    let span = begin..reader.at;
    // Lines stay where they are: code in the literal has its own, the rest is made up for.
    let lines = |text: &str| text.matches('\n').count();
    let missing = lines(source.get(span.clone())?).saturating_sub(lines(&text));
    let close = text.pop()?;
    text.extend(std::iter::repeat_n('\n', missing));
    text.push(close);
    Some(Literal { span, text })
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn accept(&mut self, text: &str) -> bool {
        let is_there = self.rest().starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.accept(text).then_some(())
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_blank).len();
    }

    /// What stands before `end`, which is taken as well.
    fn until(&mut self, end: &str) -> Option<&'a str> {
        let rest = self.rest();
        let length = rest.find(end)?;
        self.at += length + end.len();
        rest.get(..length)
    }

    /// Writes the call that makes the element or the list here.
    fn element(&mut self, out: &mut String) -> Option<()> {
        if self.depth > DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        self.expect("<")?;
        if self.accept(">") {
            out.push_str("$e4x.list([");
            self.content(out)?;
            self.expect("</")?;
            self.skip_blanks();
            self.expect(">")?;
        } else {
            self.named_element(out)?;
        }
        out.push_str("])");
        self.depth -= 1;
        Some(())
    }

    fn named_element(&mut self, out: &mut String) -> Option<()> {
        out.push_str("$e4x.element(");
        let name = self.tag_name(out)?;
        out.push_str(",[");
        self.attributes(out)?;
        out.push_str("],[");
        if self.accept("/>") {
            return Some(());
        }
        self.expect(">")?;
        self.content(out)?;
        self.expect("</")?;
        self.skip_blanks();
        if !self.rest().starts_with('>') {
            let mut ignored = String::new();
            let closed = self.tag_name(&mut ignored)?;
            if matches!((name, closed), (Some(name), Some(closed)) if name != closed) {
                return None;
            }
            self.skip_blanks();
        }
        self.expect(">")
    }

    /// Writes the name of an element; none is given back for one that is computed.
    #[expect(clippy::option_option, reason = "no name, one that is computed, one that is read")]
    fn tag_name(&mut self, out: &mut String) -> Option<Option<&'a str>> {
        if self.next() == Some('{') {
            self.expression(out)?;
            return Some(None);
        }
        let name = self.name()?;
        out.push_str(&quoted(name));
        Some(Some(name))
    }

    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let length = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
        let name = rest.get(..length).filter(|name| name.starts_with(is_name_start))?;
        self.at += length;
        Some(name)
    }

    /// Writes names and values in turn.
    fn attributes(&mut self, out: &mut String) -> Option<()> {
        loop {
            let before = self.at;
            self.skip_blanks();
            if matches!(self.next()?, '>' | '/') {
                return Some(());
            }
            if self.at == before {
                return None;
            }
            if !out.ends_with('[') {
                out.push(',');
            }
            out.push_str(&quoted(self.name()?));
            out.push(',');
            self.skip_blanks();
            self.expect("=")?;
            self.skip_blanks();
            match self.next()? {
                quote @ ('"' | '\'') => {
                    self.at += 1;
                    let value = self.until(if quote == '"' { "\"" } else { "'" })?;
                    out.push_str(&quoted(&decoded(value)?));
                }
                '{' => self.expression(out)?,
                _ => return None,
            }
        }
    }

    /// Writes the pieces of an element, each with a comma after it.
    fn content(&mut self, out: &mut String) -> Option<()> {
        loop {
            let rest = self.rest();
            if rest.starts_with("</") {
                return Some(());
            }
            if self.accept("<!--") {
                self.until("-->")?;
            } else if self.accept("<![CDATA[") {
                out.push_str(&quoted(self.until("]]>")?));
                out.push(',');
            } else if self.accept("<?") {
                self.until("?>")?;
            } else {
                match self.next()? {
                    '<' => self.element(out)?,
                    '{' => self.expression(out)?,
                    _ => {
                        let length = rest.find(['<', '{'])?;
                        self.at += length;
                        out.push_str(&quoted(&decoded(rest.get(..length)?)?));
                    }
                }
                out.push(',');
            }
        }
    }

    /// Writes the code between braces.
    fn expression(&mut self, out: &mut String) -> Option<()> {
        self.expect("{")?;
        let code = rewrite(self.source, self.at, self.depth)?;
        self.at = code.end;
        self.expect("}")?;
        out.push('(');
        out.push_str(&code.text);
        // A comment at the end of a line must not hide the bracket.
        out.push_str(if code.text.contains("//") { "\n)" } else { ")" });
        Some(())
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_name_part(c: char) -> bool {
    is_name_start(c) || c.is_numeric() || matches!(c, '-' | '.' | ':')
}

/// Text with its entities replaced; none where one is unknown.
fn decoded(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, behind) = after.split_once(';')?;
        out.push(character(entity)?);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

fn character(entity: &str) -> Option<char> {
    let number = |digits: &str, radix: u32| {
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        is_number.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
    };
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let code = entity.strip_prefix('#')?;
            let value = match code.strip_prefix('x') {
                Some(digits) => number(digits, 16),
                None => number(code, 10),
            };
            char::from_u32(value?)
        }
    }
}
