//! HMAC and PBKDF2 over the hash functions that CouchDB's configuration can name, comparison that
//! takes the same time for every input, hexadecimal text and random bytes.

use std::hint::black_box;

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use rand::RngCore;
use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::config::HashAlgorithm;

/// The keyed hash of the parts one after the other.
pub fn hmac(algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match algorithm {
        HashAlgorithm::Sha => mac::<Sha1>(key, parts),
        HashAlgorithm::Sha224 => mac::<Sha224>(key, parts),
        HashAlgorithm::Sha256 => mac::<Sha256>(key, parts),
        HashAlgorithm::Sha384 => mac::<Sha384>(key, parts),
        HashAlgorithm::Sha512 => mac::<Sha512>(key, parts),
    }
}

fn mac<D: EagerHash>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = keyed::<D>(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
fn keyed<D: EagerHash>(key: &[u8]) -> Hmac<D> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

/// HMAC-SHA256 under a random key that nobody else ever sees.
pub struct ProcessKey(Hmac<Sha256>);

impl ProcessKey {
    pub fn new() -> Self {
        Self(keyed(&random::<32>()))
    }

    /// The keyed hash of the parts. It tells apart where one part ends and the next begins.
    pub fn hash(&self, parts: [&[u8]; 2]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The derived key, as long as the hash function's output. Slow on purpose.
pub fn pbkdf2(prf: HashAlgorithm, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut key = vec![0; output_bytes(prf)];
    match prf {
        HashAlgorithm::Sha => pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut key),
        HashAlgorithm::Sha224 => pbkdf2_hmac::<Sha224>(password, salt, iterations, &mut key),
        HashAlgorithm::Sha256 => pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut key),
        HashAlgorithm::Sha384 => pbkdf2_hmac::<Sha384>(password, salt, iterations, &mut key),
        HashAlgorithm::Sha512 => pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut key),
    }
    key
}

fn output_bytes(algorithm: HashAlgorithm) -> usize {
    match algorithm {
        HashAlgorithm::Sha => 20,
        HashAlgorithm::Sha224 => 28,
        HashAlgorithm::Sha256 => 32,
        HashAlgorithm::Sha384 => 48,
        HashAlgorithm::Sha512 => 64,
    }
}

/// SHA-1 of the parts one after the other.
pub fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

/// Whether both are the same, found out without stopping at the first difference.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |all, (l, r)| black_box(all | (l ^ r)));
    left.len() == right.len() && difference == 0
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of hexadecimal digits in either case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
