//! The `Authorization: Basic` header.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::AuthError;

/// Clients differ in whether they pad.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A name and a password as a client sent them. Neither needs to be UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    pub name: Vec<u8>,
    pub password: Vec<u8>,
}

/// Reads the header. `None`: it says nothing for this scheme, or `_:_`, by which a browser is made
/// to forget a login.
pub fn parse(header: &str) -> Result<Option<BasicCredentials>, AuthError> {
    let Some((scheme, encoded)) = header.trim().split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = BASE64.decode(encoded.trim()).map_err(|_| AuthError::InvalidBase64)?;
    let Some(colon) = decoded.iter().position(|&byte| byte == b':') else { return Ok(None) };
    let (name, rest) = decoded.split_at(colon);
    let password = rest.strip_prefix(b":").unwrap_or_default();
    if (name, password) == (b"_", b"_") {
        return Ok(None);
    }
    Ok(Some(BasicCredentials { name: name.to_vec(), password: password.to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found<'a> = Result<Option<(&'a [u8], &'a [u8])>, AuthError>;

    #[test]
    fn headers() {
        let check = |header: &str, expect: Found<'_>| {
            let found = parse(header).map(|found| found.map(|c| (c.name, c.password)));
            let expect = expect.map(|some| some.map(|(n, p)| (n.to_vec(), p.to_vec())));
            assert!(found == expect, "{header}");
        };
        check("Basic Ym9iOnNlY3JldA==", Ok(Some((b"bob", b"secret"))));
        check("basic  Ym9iOnNlY3JldA", Ok(Some((b"bob", b"secret"))));
        check("Basic Ym9iOmE6Yg==", Ok(Some((b"bob", b"a:b"))));
        check("Basic Og==", Ok(Some((b"", b""))));
        check("Basic /zr+", Ok(Some((b"\xff", b"\xfe"))));
        check("Basic Xzpf", Ok(None));
        check("Basic Ym9i", Ok(None));
        check("Bearer x.y.z", Ok(None));
        check("Basic", Ok(None));
        check("", Ok(None));
        check("Basic Ym9iOn!", Err(AuthError::InvalidBase64));
        check("Basic Y", Err(AuthError::InvalidBase64));
    }
}
