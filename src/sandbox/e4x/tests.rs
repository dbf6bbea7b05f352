//! What old syntax becomes, as text. What it does is tested with the design documents.

use proptest::prelude::*;

use super::modernize;

#[track_caller]
fn check(source: &str, expect: &str) {
    assert_eq!(modernize(source).as_deref(), Some(expect), "{source}");
}

#[test]
fn literals_become_calls() {
    check("x = <a/>;", r#"x = $e4x.element("a",[],[]);"#);
    check(
        r#"return <a b="c" d = '&lt;e' f={g + 1}/>"#,
        r#"return $e4x.element("a",["b","c","d","<e","f",(g + 1)],[])"#,
    );
    check(
        "f(<a>it's {x} &amp; <b/>{<c/>}</a>, 1 / 2)",
        r#"f($e4x.element("a",[],["it's ",(x)," & ",$e4x.element("b",[],[]),($e4x.element("c",[],[])),]), 1 / 2)"#,
    );
    check("<a:b-c.d x:y='1'></a:b-c.d>", r#"$e4x.element("a:b-c.d",["x:y","1"],[])"#);
    check("<a><!-- < { --><![CDATA[<{]]><?x { ?></a>", r#"$e4x.element("a",[],["<{",])"#);
    check("x = <><a/>t</>", r#"x = $e4x.list([$e4x.element("a",[],[]),"t",])"#);
    check("x = <{n}>1</{n}>", r#"x = $e4x.element((n),[],["1",])"#);
    check("x = <a>{ {b: '}'}.b }</a>", r#"x = $e4x.element("a",[],[( {b: '}'}.b ),])"#);
    check("x = <a>&#65;&#x42;</a >", r#"x = $e4x.element("a",[],["AB",])"#);
}

#[test]
fn lines_stay() {
    check(
        "x = <a>\n  <b\n/>\n</a>\ny",
        "x = $e4x.element(\"a\",[],[\"\\n  \",$e4x.element(\"b\",[],[]),\"\\n\",]\n\n\n)\ny",
    );
    check("x = <a>{ 1 // one\n }</a>", "x = $e4x.element(\"a\",[],[( 1 // one\n \n),])");
}

#[test]
fn members_are_named() {
    check("x.@a", r#"x["@a"]"#);
    check("x.y.@class = 1; x.@*", r#"x.y["@class"] = 1; x["@*"]"#);
    check("x.@[a + b[1]].c", r#"x["@" + (a + b[1])].c"#);
    check("x..b.c; x..@d; x.*", r#"x.descendants("b").c; x.descendants("@d"); x["*"]"#);
}

#[test]
fn appending_is_a_call() {
    let b = r#"$e4x.element("b",[],[])"#;
    check("a.b += <b/>;", &format!("a.b = $e4x.add(a.b, {b});"));
    check("a += <b/>", &format!("a = $e4x.add(a, {b})"));
    check(
        "this.a[i].@b += x.y(1)\nc = <b/>",
        &format!("this.a[i][\"@b\"] = $e4x.add(this.a[i][\"@b\"], x.y(1))\nc = {b}"),
    );
    // What cannot be read twice, or ends who knows where, stays.
    check("a[i++] += <b/>;", &format!("a[i++] += {b};"));
    check("f().a += <b/>;", &format!("f().a += {b};"));
    check("a += x + <b/>;", &format!("a += x + {b};"));
    assert_eq!(modernize("a += b"), None);
}

#[test]
fn for_each_is_a_loop_over_values() {
    check(
        "for each (var x in y.z || []) { f('in') }",
        "for  (var x of $e4x.each( y.z || [])) { f('in') }",
    );
    check("for each(x[1 in y] in z);", "for (x[1 in y] of $e4x.each( z));");
}

#[test]
fn everything_else_is_left_to_the_engine() {
    for source in [
        "",
        "a < b",
        "a <b> c",
        "f(1)<g",
        "x = '<a/>'",
        "x = /<a>/",
        "// <a/>",
        "a.b.c",
        "[...a]",
        "for (each in x);",
        "x = <a",
        "x = <a>",
        "x = <a></b>",
        "x = <a b=c/>",
        "x = <a>{</a>",
        "x = <a b='1'c='2'/>",
        "x = <a>&nope;</a>",
        "x = <a>&#x110000;</a>",
        "x = <>",
        "x = <a>}",
    ] {
        assert_eq!(modernize(source), None, "{source}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("x = {}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(modernize(&nested(50)).is_some());
    assert_eq!(modernize(&nested(100_000)), None);
    assert_eq!(modernize(&"<a>{".repeat(100_000)), None);
}

proptest! {
    #[test]
    fn anything_is_survived(source in "[<>/a-c{}='\"&;.@* \n+(in)]{0,40}") {
        if let Some(modern) = modernize(&source) {
            prop_assert_eq!(modern.matches('\n').count() >= source.matches('\n').count(), true);
        }
    }

    #[test]
    fn texts_and_values_are_taken_as_they_are(text in "[^<{&]{1,20}", value in "[^\"&]{0,20}") {
        let expect = format!(
            "x = $e4x.element(\"a\",[\"b\",{}],[{},]",
            super::quoted(&value),
            super::quoted(&text),
        );
        let modern = modernize(&format!("x = <a b=\"{value}\">{text}</a>"));
        prop_assert!(modern.is_some_and(|modern| modern.starts_with(&expect)));
    }
}
