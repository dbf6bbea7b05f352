//! Tokens with every algorithm, and those that must not be believed.

use std::collections::BTreeMap;

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING};
use ring::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _};
use serde_json::json;

use super::super::hash;
use super::*;
use crate::config::{HashAlgorithm, JwksSettings, Settings};

const NOW_S: u64 = 1_800_000_000;

fn settings(pairs: &[(&str, &str, &str)]) -> JwtSettings {
    let mut values = BTreeMap::<String, BTreeMap<String, String>>::new();
    for (section, key, value) in pairs {
        values.entry((*section).into()).or_default().insert((*key).into(), (*value).into());
    }
    Settings::read(&values).jwt
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn hs(bits: u16, secret: &[u8], header: &Value, claims: &Value) -> String {
    let algorithm = HashAlgorithm::parse(&format!("sha{bits}")).unwrap();
    let message = unsigned(header, claims);
    let mac = hash::hmac(algorithm, secret, &[message.as_bytes()]);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn verify(token: &str, settings: &JwtSettings) -> Result<UserCtx, String> {
    JwtVerifier::default().verify(token, settings, NOW_S).map_err(|error| error.to_string())
}

fn bob(roles: &[&str]) -> UserCtx {
    let roles = roles.iter().map(|&role| role.to_owned()).collect();
    UserCtx { name: Some("bob".into()), roles }
}

#[test]
fn hmac_keys() {
    let keys = settings(&[
        ("jwt_keys", "hmac:_default", &STANDARD.encode("secret")),
        ("jwt_keys", "hmac:other", &STANDARD.encode("other secret")),
        ("jwt_keys", "hmac:bad", "***"),
    ]);
    let claims = json!({"sub": "bob", "exp": NOW_S + 1, "_couchdb.roles": ["a", "b"]});
    for bits in [256, 384, 512] {
        let header = json!({"alg": format!("HS{bits}")});
        let token = hs(bits, b"secret", &header, &claims);
        assert_eq!(verify(&token, &keys), Ok(bob(&["a", "b"])));
        let named = json!({"alg": format!("HS{bits}"), "kid": "other"});
        assert_eq!(
            verify(&hs(bits, b"other secret", &named, &claims), &keys),
            Ok(bob(&["a", "b"]))
        );
        assert_eq!(verify(&hs(bits, b"secret", &named, &claims), &keys), Err("Bad HMAC".into()));
    }
    let check = |header: Value, expect: &str| {
        let found = verify(&hs(256, b"secret", &header, &claims), &keys);
        assert_eq!(found, Err(expect.to_owned()), "{header}");
    };
    check(json!({"alg": "none"}), "Invalid alg header parameter");
    check(json!({"alg": "hs256"}), "Invalid alg header parameter");
    check(json!({"alg": "HS128"}), "Invalid alg header parameter");
    check(json!({}), "Missing alg header parameter");
    check(json!({"alg": "HS256", "kid": "none"}), "Unknown kid");
    check(json!({"alg": "HS256", "kid": 7}), "Unknown kid");
    check(json!({"alg": "HS256", "kid": "bad"}), "Not a valid key");
    check(json!({"alg": "RS256"}), "Unknown kid");
    let right = hs(256, b"secret", &json!({"alg": "HS256"}), &claims);
    let cut = right.rsplit_once('.').unwrap().0;
    assert_eq!(verify(cut, &keys), Err("Malformed token".into()));
    assert_eq!(verify(&format!("{cut}."), &keys), Err("Bad HMAC".into()));
    assert_eq!(verify(&format!("{right}.x"), &keys), Err("Malformed token".into()));
    assert_eq!(verify("W10.W10.", &keys), Err("Not an object".into()));
    assert_eq!(verify("", &keys), Err("Malformed token".into()));
}

#[test]
fn claims() {
    let check = |required: &str, claims: Value, expect: Result<UserCtx, &str>| {
        let keys = settings(&[
            ("jwt_keys", "hmac:_default", &STANDARD.encode("secret")),
            ("jwt_auth", "required_claims", required),
        ]);
        let token = hs(256, b"secret", &json!({"alg": "HS256"}), &claims);
        assert_eq!(verify(&token, &keys), expect.map_err(str::to_owned), "{required} {claims}");
    };
    let user = bob(&[]);
    check("", json!({"sub": "bob", "exp": NOW_S + 1}), Ok(user.clone()));
    check("", json!({"sub": "bob", "exp": NOW_S}), Err("exp not in future"));
    check("", json!({"sub": "bob"}), Err("Missing exp claim"));
    check("nbf", json!({"sub": "bob"}), Err("Missing nbf claim"));
    check("nbf", json!({"sub": "bob", "nbf": NOW_S}), Err("nbf not in past"));
    check("nbf", json!({"sub": "bob", "nbf": "x"}), Err("nbf not in past"));
    check("nbf", json!({"sub": "bob", "nbf": 0.5}), Ok(user.clone()));
    check("iat", json!({"sub": "bob", "iat": 1.5}), Err("Invalid iat claim"));
    check("iat", json!({"sub": "bob", "iat": NOW_S + 9}), Ok(user.clone()));
    let issuer = r#"{iss, "us"}, nbf"#;
    check(issuer, json!({"sub": "bob", "iss": "us", "nbf": 1}), Ok(user));
    check(issuer, json!({"sub": "bob", "iss": "them", "nbf": 1}), Err("Invalid iss claim"));
    check(issuer, json!({"sub": "bob", "nbf": 1}), Err("Missing iss claim"));
    check("kid", json!({"sub": "bob"}), Err("Missing kid claim"));
    check("typ", json!({"sub": "bob"}), Err("Missing typ header parameter"));
    let misconfigured = "JWT is not configured correctly";
    check("nonsense", json!({"sub": "bob", "exp": NOW_S + 1}), Err(misconfigured));
    check("nbf", json!({"nbf": 1}), Err("Token missing sub claim."));
}

#[test]
fn roles_of_claims() {
    let check = |(key, value): (&str, &str), claims: Value, expect: Result<&[&str], &str>| {
        let found = settings(&[("jwt_auth", key, value)]).roles_claim;
        let found = roles(claims.as_object().unwrap(), &found).map_err(|error| error.to_string());
        let expect = expect.map(|roles| roles.iter().map(|&role| role.to_owned()).collect());
        assert_eq!(found, expect.map_err(str::to_owned), "{value} {claims}");
    };
    let name = ("roles_claim_name", "groups");
    check(name, json!({"groups": ["a", "b"], "_couchdb.roles": ["c"]}), Ok(&["a", "b"]));
    check(name, json!({"groups": "a ,b,  c,"}), Ok(&["a", "b", "c"]));
    check(name, json!({"groups": [1]}), Err("Malformed token"));
    check(name, json!({"groups": 1}), Err("Malformed token"));
    check(name, json!({}), Ok(&[]));
    let path = ("roles_claim_path", r"realm.my\.roles");
    check(path, json!({"realm": {"my.roles": ["a"]}}), Ok(&["a"]));
    check(path, json!({"realm": {}}), Err("missing json key: my.roles"));
    check(path, json!({"realm": 1}), Err("missing json key: my.roles"));
    check(path, json!({}), Err("missing json key: realm"));
}

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn jwk(&self, curve: &str, kid: &str) -> Value {
        let point = self.0.public_key().as_ref();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"kty": "EC", "crv": curve, "x": x, "y": y, "kid": kid})
    }
}

#[test]
fn published_keys() {
    let p256 = Signer::new(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let p384 = Signer::new(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "s"});
    let mut encrypts = p256.jwk("P-256", "e");
    encrypts["use"] = json!("enc");
    let set = json!({"keys": [p256.jwk("P-256", "a"), secret, encrypts, {"kty": "new"}, 7]});
    let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), 1);
    let verifier = JwtVerifier::default();
    verifier.publish(set);
    let mut settings = settings(&[]);
    let claims = json!({"sub": "bob", "exp": NOW_S + 1});
    let check = |header: Value, settings: &JwtSettings, expect: Result<(), &str>| {
        let signer = if header["alg"] == "ES384" { &p384 } else { &p256 };
        let found = verifier.verify(&signer.sign(&header, &claims), settings, NOW_S);
        let found = found.map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(found, expect.map_err(str::to_owned), "{header}");
    };
    // Keys from an address that is no longer configured are not believed.
    check(json!({"alg": "ES256", "kid": "a"}), &settings, Err("Unknown kid"));
    let refresh = std::time::Duration::from_secs(1);
    settings.jwks = Some(JwksSettings { url: "http://127.0.0.1/".into(), refresh });
    check(json!({"alg": "ES256", "kid": "a"}), &settings, Ok(()));
    check(json!({"alg": "ES256"}), &settings, Ok(()));
    check(json!({"alg": "ES256", "kid": "e"}), &settings, Err("Unknown kid"));
    check(json!({"alg": "ES512", "kid": "a"}), &settings, Err("Bad signature"));
    check(json!({"alg": "HS256", "kid": "s"}), &settings, Err("Unknown kid"));
    let rotated = json!({"keys": [p256.jwk("P-256", "a"), p384.jwk("P-384", "b")]});
    verifier.publish(KeySet::parse(rotated.to_string().as_bytes()).unwrap());
    check(json!({"alg": "ES384", "kid": "b"}), &settings, Ok(()));
    check(json!({"alg": "ES384", "kid": "a"}), &settings, Err("Bad signature"));
    check(json!({"alg": "ES256"}), &settings, Err("Unknown kid"));
}

#[test]
fn sets() {
    assert_eq!(KeySet::parse(b"{}"), None);
    assert_eq!(KeySet::parse(b"[]"), None);
    assert_eq!(KeySet::parse(b""), None);
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
    let short = br#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#;
    assert!(KeySet::parse(short).unwrap().is_empty());
}

/// Keys and tokens that other software made (OpenSSL's, the signatures in the form of RFC 7518).
#[test]
fn pem_keys() {
    for (alg, kind, pem, token) in include!("vectors.in") {
        let text = pem.replace('\n', "\\n");
        let keys = settings(&[("jwt_keys", &format!("{kind}:_default"), &text)]);
        assert_eq!(verify(token, &keys), Ok(bob(&["r"])), "{alg}");
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let other = format!("{}.{signature}", rest.replacen("eyJ", "eyI", 1));
        assert!(verify(&other, &keys).is_err(), "{alg}");
        let wrong = if kind == "ec" { "rsa" } else { "ec" };
        let keys = settings(&[("jwt_keys", &format!("{wrong}:_default"), &text)]);
        let header = json!({"alg": if wrong == "ec" { "ES256" } else { "RS256" }});
        let expect = if wrong == "ec" { "not an EC public key" } else { "not an RSA public key" };
        let token = format!("{}.AA", unsigned(&header, &json!({"sub": "b", "exp": NOW_S + 1})));
        assert_eq!(verify(&token, &keys), Err(expect.to_owned()), "{alg}");
    }
}

proptest! {
    #[test]
    fn no_text_is_believed(token in ".{0,60}", part in "[A-Za-z0-9_-]{0,40}") {
        let keys = settings(&[("jwt_keys", "hmac:_default", "c2VjcmV0")]);
        prop_assert!(verify(&token, &keys).is_err());
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let token = format!("{header}.{part}.{part}");
        prop_assert!(verify(&token, &keys).is_err());
    }
}
