//! Random documents and functions, made of a row of choices.

/// Numbers that decide; when they are used up everything ends soon.
pub(super) struct Choices<'a> {
    numbers: std::slice::Iter<'a, u16>,
    depth: usize,
    /// Whether functions throw.
    throws: bool,
}

impl<'a> Choices<'a> {
    pub fn new(numbers: &'a [u16]) -> Self {
        Self { numbers: numbers.iter(), depth: 0, throws: false }
    }

    fn below(&mut self, count: usize) -> usize {
        self.numbers.next().map_or(0, |number| usize::from(*number) % count)
    }

    fn pick<'p>(&mut self, from: &[&'p str]) -> &'p str {
        let at = self.below(from.len());
        from[at]
    }

    fn is_deep(&self) -> bool {
        self.depth > 5 || self.numbers.len() == 0
    }

    fn deeper<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        self.depth += 1;
        let made = make(self);
        self.depth -= 1;
        made
    }
}

const NAMES: [&str; 22] = [
    "n",
    "text",
    "tags",
    "o",
    "type",
    "a",
    "b",
    "x",
    "length",
    "0",
    "1",
    "10",
    "01",
    "-1",
    "constructor",
    "toString",
    "__proto__",
    "hasOwnProperty",
    "indexOf",
    "caf\\u00e9",
    "é",
    "",
];

/// A document's JSON.
pub(super) fn document(choices: &mut Choices<'_>) -> String {
    let id = text(choices);
    let count = choices.below(8);
    let members = (0..count).map(|_| {
        let name = choices.pick(&NAMES);
        format!(",\"{name}\":{}", choices.deeper(json))
    });
    let members: String = members.collect();
    format!("{{\"_id\":\"{id}\"{members}}}")
}

fn json(choices: &mut Choices<'_>) -> String {
    if choices.is_deep() {
        return "null".to_owned();
    }
    match choices.below(8) {
        0 => choices.pick(&["null", "true", "false"]).to_owned(),
        1 | 2 => choices
            .pick(&[
                "0",
                "1",
                "-1",
                "-0",
                "1.0",
                "2.50",
                "1e3",
                "1E-7",
                "123456789012345680000",
                "1e21",
                "1e400",
                "5e-324",
                "0.1",
                "9007199254740993",
                "100000000000000000000000",
                "4294967295",
                "1.7976931348623157e308",
                "3",
                "12",
                "999999999999999",
                "1000000000000000",
                "-123456789012345",
            ])
            .to_owned(),
        3 | 4 => format!("\"{}\"", text(choices)),
        5 | 6 => {
            let count = choices.below(5);
            let items: Vec<String> = (0..count).map(|_| choices.deeper(json)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let count = choices.below(5);
            let member = |_| {
                let name = choices.pick(&NAMES);
                format!("\"{name}\":{}", choices.deeper(json))
            };
            let members: Vec<String> = (0..count).map(member).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// The inside of a JSON string.
fn text(choices: &mut Choices<'_>) -> String {
    let count = choices.below(5);
    let parts = (0..count).map(|_| {
        choices.pick(&[
            "a",
            "B",
            " ",
            "word",
            "x,y",
            "1",
            "-2.5",
            "0x1f",
            "e5",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "\\u0000",
            "\\u001f",
            "\u{7f}",
            "\\u00e9",
            "é",
            "ß",
            "İ",
            "ς",
            "Σ",
            "日本",
            "\u{2028}",
            "\u{feff}",
            "\\u3000",
            "😀",
            "\\ud83d\\ude00",
            "\\ud800",
            "\\udc00x",
            "\u{fffd}",
            "$&",
            "Infinity",
            "true",
            "\\t",
            "_",
            "\u{e000}",
            "\u{1d400}",
        ])
    });
    parts.collect()
}

/// A map function.
pub(super) fn function(choices: &mut Choices<'_>) -> String {
    let mut body = String::new();
    for _ in 0..=choices.below(5) {
        body += &statement(choices);
    }
    match choices.below(4) {
        0 => format!("doc => {{ var a, b = [], c = {{}}; {body} }}"),
        1 => format!("function(doc) {{ 'use strict'; var a = 1, b = [1], c = {{x: 2}}; {body} }}"),
        2 => format!(
            "function(doc) {{ var a = '', b = doc.tags, c = doc.o; \
             function f(a, x) {{ {} return {}; }} {body} }}",
            choices.deeper(statement),
            choices.deeper(expression),
        ),
        _ => format!("function(doc) {{ var a = doc, b = [], c = {{}}; {body} }}"),
    }
}

/// A filter function.
pub(super) fn filter(choices: &mut Choices<'_>) -> String {
    let (mut body, count) = (String::new(), choices.below(4));
    for _ in 0..count {
        body += &statement(choices);
    }
    let begin = choices.pick(&[
        "function(doc, req) { var a = req.query.n, b = req.userCtx.roles, c = req.query;",
        "(doc, req) => { var a = req, b = [1], c = {x: 2};",
        "function(doc, req) { 'use strict'; let a = req.userCtx, b = req.query.list, c = {};",
    ]);
    format!("{begin} {body} return {}; }}", expression(choices))
}

/// A validation function.
pub(super) fn validation(choices: &mut Choices<'_>) -> String {
    choices.throws = true;
    let (mut body, count) = (String::new(), 1 + choices.below(5));
    for _ in 0..count {
        body += &statement(choices);
    }
    let begin = choices.pick(&[
        "function(doc, old, user, sec) { var a = old, b = user.roles, c = sec;",
        "function(doc, old, user, sec) { var a = old && old.n, b = [doc.text], c = {x: doc.o};",
        "function(doc, old, user, sec) { 'use strict'; let a = 1, b = sec.admins.names, c = user;",
        "(doc, old, user) => { let a = user.name, b = old ? old.tags : [], c = {};",
    ]);
    let inner = choices.pick(&[
        "function f(a, x) { if (!a) throw({forbidden: x}); }",
        "function f(a, x) { S if (a == x) throw({unauthorized: x}); return E; }",
        "var f = function(x) { S throw({forbidden: 'no ' + x}); };",
        "",
    ]);
    let inner = filled(inner, choices);
    format!("{begin} {inner} {body} }}")
}

const THROWS: [&str; 10] = [
    "throw({forbidden: E});",
    "throw({unauthorized: E});",
    "if (E) throw({forbidden: E});",
    "if (E) throw({forbidden: 'no ' + E});",
    "if (E) throw({unauthorized: E}); else S",
    "if (doc.n !== (old && old.n)) throw({forbidden: {n: E}});",
    "throw {forbidden: E, x: E};",
    "throw E;",
    "f(E, E);",
    "if (b.indexOf('_admin') < 0) { throw({'forbidden': E}); }",
];

/// Statements; `S`, `E` and `N` stand for a statement, an expression and a name.
const STATEMENTS: [&str; 28] = [
    "emit(E, E);",
    "emit(E, E);",
    "emit(E);",
    "if (E) S",
    "if (E) { S } else S",
    "var a = E;",
    "var i = E; emit(i);",
    "let y = E; emit(y, a);",
    "{ let z = E; S }",
    "for (var i = 0; i < 3; i++) S",
    "for (var k in E) { S emit(k); }",
    "for (const v of E) { S emit(v); }",
    "E.forEach(function(v, i) { S emit(v, i); });",
    "log(E);",
    "switch (E) { case E: S case E: S break; default: S }",
    "a += E; emit(a);",
    "b[0] = E; emit(b);",
    "c.x -= E; emit(c);",
    "c[a] |= E; emit(c);",
    "b[b.length] = E; emit(b);",
    "doc.n = E;",
    "b.push(E); emit(b);",
    "c[E] = E; emit(c, b);",
    "a = 0; while (a < 4) { a++; if (a == 2) continue; S }",
    "emit(a--, c.x++); b[0]++;",
    "return;",
    "return E;",
    "do { S if (E) break; } while (false);",
];

fn statement(choices: &mut Choices<'_>) -> String {
    if choices.is_deep() {
        return filled("emit(E, E);", choices);
    }
    let throws = choices.throws && choices.below(3) == 0;
    let form = if throws { choices.pick(&THROWS) } else { choices.pick(&STATEMENTS) };
    choices.deeper(|choices| filled(form, choices))
}

/// A form with something in every place that is left open.
fn filled(form: &str, choices: &mut Choices<'_>) -> String {
    let mut words = String::new();
    let mut rest = form;
    while let Some(at) = rest.find(['S', 'E', 'N']) {
        let before = rest[..at].chars().next_back().unwrap_or(' ');
        let after = rest[at + 1..].chars().next().unwrap_or(' ');
        words += &rest[..at];
        let is_word = before.is_ascii_alphabetic() || after.is_ascii_alphabetic();
        match &rest[at..=at] {
            open if is_word => words += open,
            "S" => words += &statement(choices),
            "E" => words += &expression(choices),
            _ => words += choices.pick(&["n", "text", "tags", "length", "x", "constructor"]),
        }
        rest = &rest[at + 1..];
    }
    words + rest
}

const VALUES: [&str; 28] = [
    "doc",
    "doc._revisions",
    "doc._local_seq",
    "doc.n",
    "doc.text",
    "doc.tags",
    "doc.o",
    "doc.type",
    "doc._id",
    "a",
    "b",
    "c",
    "1",
    "0",
    "-1",
    "1.5",
    "'a'",
    "''",
    "null",
    "undefined",
    "NaN",
    "true",
    "'é😀 b'",
    "1e21",
    "[]",
    "'1'",
    "doc.tags[0]",
    "doc.missing",
];

const EXPRESSIONS: [&str; 36] = [
    "E.N",
    "E[E]",
    "(E + E)",
    "(E + E)",
    "(E && E)",
    "(E || E)",
    "(E ?? E)",
    "(E, E)",
    "(!E)",
    "(-E)",
    "(+E)",
    "(~E)",
    "(typeof E)",
    "(E ? E : E)",
    "[E, E]",
    "({a: E, 2: E, '1': E})",
    "({toString: E, 'é': E, x: E, x: E})",
    "({__proto__: E})",
    "`${E}`",
    "`é\\n${E}a`",
    "('' + E)",
    "/\\W/.test(E)",
    "/[a-z]/i.test(E)",
    "/^a/.test(E)",
    "/^\\w+$/.test(E)",
    "/^(word|x|[^a-z\\s]{2,})/i.test(E)",
    "/\\b[ab1].?$/.test(E)",
    "/^-?\\d+(\\.\\d*)?$/.test(E)",
    "/a(?=b)|x,/.test(E)",
    "/^[\\S]*\\s\\W/.test(E)",
    "E.map(x => E)",
    "E.filter((x, i) => E)",
    "E.some(function(x) { return E; })",
    "E.every(x => E)",
    "(a = E)",
    "(c[E] += E)",
];

const OPERATORS: [&str; 22] = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "===",
    "!=",
    "!==",
    "<",
    "<=",
    ">",
    ">=",
    "&",
    "|",
    "^",
    "<<",
    ">>",
    ">>>",
    "in",
    "**",
    "instanceof",
];

const FUNCTIONS: [&str; 18] = [
    "String",
    "Number",
    "Boolean",
    "parseInt",
    "parseFloat",
    "isNaN",
    "isFinite",
    "isArray",
    "Array.isArray",
    "Object.keys",
    "JSON.stringify",
    "Math.floor",
    "Math.round",
    "Math.ceil",
    "Math.abs",
    "toJSON",
    "sum",
    "f",
];

const FUNCTIONS_OF_TWO: [&str; 5] = ["Math.max", "Math.min", "parseInt", "f", "String"];

fn expression(choices: &mut Choices<'_>) -> String {
    if choices.is_deep() {
        return choices.pick(&VALUES).to_owned();
    }
    let form = match choices.below(16) {
        0..=3 => return choices.pick(&VALUES).to_owned(),
        4 | 5 => format!("(E {} E)", choices.pick(&OPERATORS)),
        6 => format!("{}(E)", choices.pick(&FUNCTIONS)),
        7 => format!("{}(E, E)", choices.pick(&FUNCTIONS_OF_TWO)),
        8..=10 => method_call(choices),
        _ => choices.pick(&EXPRESSIONS).to_owned(),
    };
    choices.deeper(|choices| filled(&form, choices))
}

const RECEIVERS: [&str; 12] = [
    "E",
    "E",
    "doc.text",
    "doc._id",
    "'Straße, É'",
    "'a,b,,c'",
    "doc.type",
    "doc.tags",
    "b",
    "[3, 'a', null, [1]]",
    "doc.o",
    "c",
];

/// Methods with nothing, and with what is cut out, taken or put.
const METHODS: [&str; 34] = [
    "toLowerCase()",
    "toUpperCase()",
    "trim()",
    "split()",
    "join()",
    "slice()",
    "toString()",
    "charAt()",
    "concat()",
    "nothing()",
    "substring()",
    "charCodeAt()",
    "indexOf()",
    "split(/\\W+/)",
    "replace(/\\s/, '-')",
    "replace(/[a-m]+/g, '_')",
    "replace(/[^\\w\\s-]/gi, '')",
    "replace(/a|b/, 'x')",
    "replace('a', '$&')",
    "replace(',', ';')",
    "split(/\\s+/)",
    "split(/,/)",
    "split('')",
    "split(' ')",
    "split(/[,;]/)",
    "replace(/\\D/, 'é')",
    "search(/a/)",
    "replace(E, E)",
    "push(E, E)",
    "split(E, E)",
    "hasOwnProperty('n')",
    "sort()",
    "slice().sort()",
    "split('').sort()",
];

const METHODS_OF_ONE: [&str; 16] = [
    "charAt",
    "charCodeAt",
    "concat",
    "endsWith",
    "includes",
    "indexOf",
    "join",
    "lastIndexOf",
    "slice",
    "split",
    "startsWith",
    "substr",
    "substring",
    "hasOwnProperty",
    "push",
    "toString",
];

const METHODS_OF_TWO: [&str; 7] =
    ["slice", "substr", "substring", "indexOf", "concat", "replace", "push"];

fn method_call(choices: &mut Choices<'_>) -> String {
    let receiver = choices.pick(&RECEIVERS);
    match choices.below(3) {
        0 => format!("{receiver}.{}", choices.pick(&METHODS)),
        1 => format!("{receiver}.{}(E)", choices.pick(&METHODS_OF_ONE)),
        _ => {
            let method = choices.pick(&METHODS_OF_TWO);
            let first = ["0", "1", "-1", "2", "1.7", "'a'", "undefined", "-100", "100", "E"];
            format!("{receiver}.{method}({}, E)", choices.pick(&first))
        }
    }
}
