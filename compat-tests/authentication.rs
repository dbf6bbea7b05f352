//! Who sends a request, on the real server: handlers, sessions and the lockout as configured.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::users::{BOB, Who, call, eventually, get, set, stage};

#[test]
fn handlers_as_configured() {
    let stage = stage();
    let pair = |name: &str| format!("{{chttpd_auth, {name}_authentication_handler}}");
    let handlers = format!("{}, {}, {}", pair("proxy"), pair("cookie"), pair("default"));
    set(&stage, "chttpd", "authentication_handlers", &handlers);
    set(&stage, "chttpd_auth", "proxy_use_secret", "true");
    set(&stage, "chttpd_auth", "secret", "s3cret");
    let ask = |name: &str, token: &str| {
        let headers = [
            ("X-No-Auth", "1"),
            ("X-Auth-CouchDB-UserName", name),
            ("X-Auth-CouchDB-Roles", "a, b"),
            ("X-Auth-CouchDB-Token", token),
        ];
        let body = stage.send("GET", "/_session", &headers, "").body;
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    // Made with Python's hmac: the name `zoe` under SHA-256 and SHA-1.
    for token in [
        "3172322807688489f2002ecd66cba5a615321eee1745d73a59f8e0a2b6841c1d",
        "df84c656d9a812b8800157ab3837004d5d58f062",
    ] {
        let session = ask("zoe", token);
        assert_eq!(session["userCtx"], json!({"name": "zoe", "roles": ["a", "b"]}));
        assert_eq!(session["info"]["authenticated"], "proxy");
        let handlers = &session["info"]["authentication_handlers"];
        assert_eq!(handlers, &json!(["proxy", "cookie", "default"]));
        assert_eq!(ask("eve", token)["userCtx"]["name"], Value::Null);
    }
    assert_eq!(ask("zoe", "")["userCtx"]["name"], Value::Null);
    set(&stage, "chttpd", "authentication_handlers", &pair("default"));
    let login = json!({"name": "bob", "password": "bobpw"});
    let cookie = call(&stage, Who::Nobody, "POST", "/_session", &login).cookie.unwrap();
    let by_cookie = get(&stage, Who::Session(cookie.split(';').next().unwrap()), "/_session");
    assert_eq!(by_cookie.json["userCtx"]["name"], Value::Null, "nobody asks for cookies");
}

#[test]
fn valid_users_only() {
    let stage = stage();
    set(&stage, "chttpd", "require_valid_user_except_for_up", "true");
    for (path, expect) in [("/_up", 200), ("/", 401), ("/db", 401), ("/_session", 401)] {
        assert_eq!(get(&stage, Who::Nobody, path).status, expect, "{path}");
    }
    for section in ["chttpd", "chttpd_auth"] {
        set(&stage, "chttpd", "require_valid_user_except_for_up", "false");
        set(&stage, section, "require_valid_user", "true");
        let refused = stage.send("GET", "/_up", &[("X-No-Auth", "1")], "");
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"server\""));
        let login = json!({"name": "bob", "password": "bobpw"});
        assert_eq!(call(&stage, Who::Nobody, "POST", "/_session", &login).status, 200);
        assert_eq!(get(&stage, BOB, "/_up").status, 200);
        set(&stage, section, "require_valid_user", "false");
    }
    set(&stage, "chttpd", "WWW-Authenticate", "Basic realm=\"us\"");
    let refused = stage.send("GET", "/_all_dbs", &[("X-No-Auth", "1")], "");
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"us\""));
}

#[test]
fn cookies_as_configured() {
    let stage = stage();
    let log_in = || {
        let login = json!({"name": "bob", "password": "bobpw"});
        call(&stage, Who::Nobody, "POST", "/_session", &login).cookie.unwrap()
    };
    let plain = log_in();
    assert!(plain.contains("; Max-Age=600; Path=/; HttpOnly"), "{plain}");
    set(&stage, "chttpd_auth", "same_site", "strict");
    set(&stage, "chttpd_auth", "cookie_domain", "example.com");
    set(&stage, "chttpd_auth", "allow_persistent_cookies", "false");
    let cookie = log_in();
    assert!(cookie.ends_with("; Version=1; Domain=example.com; Path=/; HttpOnly; SameSite=Strict"));

    // A cookie whose life is a tenth over is renewed for users as for admins.
    set(&stage, "chttpd_auth", "timeout", "600");
    let short = plain.split(';').next().unwrap().to_owned();
    assert!(get(&stage, Who::Session(&short), "/_session").cookie.is_none());
    set(&stage, "chttpd_auth", "timeout", "1");
    eventually("the session ends", || {
        get(&stage, Who::Session(&short), "/_session").json["userCtx"]["name"].is_null()
    });
}

#[test]
fn the_lockout_counts_addresses() {
    let stage = stage();
    let attempt = |address: &str, password: &str| {
        let pair = STANDARD.encode(format!("bob:{password}"));
        let authorization = format!("Basic {pair}");
        let headers = [("Authorization", authorization.as_str()), ("X-Forwarded-For", address)];
        stage.send("GET", "/", &headers, "").status
    };
    set(&stage, "chttpd", "x_forwarded_for", "X-Forwarded-For");
    for _ in 0..5 {
        assert_eq!(attempt("10.0.0.9, 10.0.0.1", "wrong"), 401);
    }
    assert_eq!(attempt("10.0.0.1", "bobpw"), 403);
    assert_eq!(attempt("10.0.0.2", "bobpw"), 200);
    stage.ask("DELETE", "/_node/_local/_config/chttpd/x_forwarded_for", None);
    assert_eq!(attempt("10.0.0.1", "bobpw"), 200, "unless configured, the header says nothing");
    for address in ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5"] {
        assert_eq!(attempt(address, "wrong"), 401);
    }
    assert_eq!(attempt("1.1.1.6", "bobpw"), 403, "nor does it help who guesses");
}
