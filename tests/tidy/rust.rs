//! Reads Rust source texts as far as the house rules need it: tokens, imports, functions.
//!
//! Goes by tokens alone. What it relies on is that the text compiles: brackets come in pairs, and
//! macros do not make modules or paths out of pieces.

/// The text with what stands in comments, strings and characters replaced by blanks. Lines and
/// columns stay as they are.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_word = false;
    while let Some(c) = rest.chars().next() {
        let literal = if in_word { None } else { raw_string(rest) };
        let (length, kept) = match (literal, c) {
            (Some(length), _) => (length, 0),
            (None, '"') => (quoted(rest), 0),
            (None, '\'') => character(rest).map_or((1, 1), |length| (length, 0)),
            (None, '/') if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), 0),
            (None, '/') if rest.starts_with("/*") => (block_comment(rest), 0),
            _ => (c.len_utf8(), c.len_utf8()),
        };
        let (taken, left) = rest.split_at(length);
        if kept > 0 {
            code.push_str(taken);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        in_word = c.is_alphanumeric() || c == '_';
        rest = left;
    }
    code
}

fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(rest.len() - body.len() + length)
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; none where the quote begins a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next();
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(left) = rest.get(at..).filter(|left| !left.is_empty()) {
        if left.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if left.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += left.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// A word, `::` or one other character, and its line, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(c) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => c.len_utf8(),
                word => word,
            };
            found.push(Token { line: index + 1, text: &rest[..length] });
            rest = rest[length..].trim_start();
        }
    }
    found
}

pub fn text_at<'a>(tokens: &[Token<'a>], index: usize) -> &'a str {
    tokens.get(index).map_or("", |token| token.text)
}

/// The index after the bracket that closes the one at `open`.
pub fn end_of_group(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The top-level modules that a file names, with their lines: by `crate::`, by enough `super::` to
/// arrive at the root, and by `settee::`.
pub fn imports<'a>(path: &str, tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut found = Vec::new();
    let depths = module_depths(path, tokens);
    for (index, token) in tokens.iter().enumerate() {
        let begins_path = index == 0 || text_at(tokens, index - 1) != "::";
        if !begins_path || text_at(tokens, index + 1) != "::" {
            continue;
        }
        match token.text {
            "crate" | "settee" => found.extend(first_names(tokens, index + 2)),
            "super" | "self" => {
                let after = index + if token.text == "self" { 2 } else { 0 };
                let supers = tokens[after..].chunks(2);
                let climbed = supers.take_while(|pair| pair[0].text == "super").count();
                if climbed > 0 && climbed >= depths[index] {
                    found.extend(first_names(tokens, after + 2 * climbed));
                }
            }
            _ => {}
        }
    }
    found
}

/// The first names of the path, or of each path of the group, that begins at `index`.
fn first_names<'a>(tokens: &[Token<'a>], index: usize) -> Vec<Token<'a>> {
    let Some(first) = tokens.get(index) else { return Vec::new() };
    if first.text != "{" {
        return vec![*first];
    }
    let mut names = Vec::new();
    let end = end_of_group(tokens, index).saturating_sub(1);
    let mut at = index + 1;
    while at < end {
        names.push(tokens[at]);
        while at < end && tokens[at].text != "," {
            at = if tokens[at].text == "{" { end_of_group(tokens, at) } else { at + 1 };
        }
        at += 1;
    }
    names
}

/// For each token, how many modules it stands in: those of the file and those written inside it.
fn module_depths(path: &str, tokens: &[Token<'_>]) -> Vec<usize> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let of_file = match inside {
        "main" | "lib" => 0,
        _ => inside.trim_end_matches("/mod").split('/').count(),
    };
    let mut depths = vec![of_file; tokens.len()];
    for index in 0..tokens.len() {
        if text_at(tokens, index) == "mod" && text_at(tokens, index + 2) == "{" {
            let body = index + 2..end_of_group(tokens, index + 2);
            depths[body].iter_mut().for_each(|depth| *depth += 1);
        }
    }
    depths
}

/// The functions of a text: name, first line, number of lines from the name to the last brace.
pub fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let code = code_of(text);
    let tokens = tokens(&code);
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let name = text_at(&tokens, index + 1);
        if token.text != "fn" || name.is_empty() || name == "(" {
            continue;
        }
        let mut at = index + 2;
        while !matches!(text_at(&tokens, at), "{" | ";" | "") {
            let group = matches!(text_at(&tokens, at), "(" | "[");
            at = if group { end_of_group(&tokens, at) } else { at + 1 };
        }
        if text_at(&tokens, at) == "{" {
            let last = tokens[end_of_group(&tokens, at) - 1].line;
            found.push((name.to_owned(), token.line, last + 1 - token.line));
        }
    }
    found
}

#[test]
fn functions_are_measured() {
    let text =
        "fn a(b: [u8; 2]) {\n  '}';\n}\ntrait T { fn c(); fn d<F: Fn()>()\n where F: X\n {} }";
    let found = functions(text);
    let expect = [("a", 1, 3), ("d", 4, 3)];
    assert_eq!(found, expect.map(|(name, line, lines)| (name.to_owned(), line, lines)));
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, expect) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a("b\"c") d"#, "a(      ) d"),
        ("a(r#\"b\"c\"#) d", "a(        ) d"),
        ("for_r\"b\"", "for_r   "),
        ("a('b', '\\'', 'c)", "a(   ,     , 'c)"),
        ("é\"é\"é", "é   é"),
    ] {
        assert_eq!(code_of(text), expect, "{text}");
    }
}
