//! Keys and the signatures they verify (RFC 7518, section 3).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p521::ecdsa::signature::Verifier as _;
use ring::signature::{self, EcdsaVerificationAlgorithm, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Map, Value};
use spki::ObjectIdentifier;
use spki::SubjectPublicKeyInfoRef;

use crate::config::HashAlgorithm;

use super::super::{basic, hash};
use super::JwtError;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The kinds of keys, under CouchDB's names in `[jwt_keys]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    Hmac,
    Rsa,
    Ec,
}

impl KeyType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Rsa => "rsa",
            Self::Ec => "ec",
        }
    }
}

/// How a token is signed: the kind of key, and the hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm {
    pub key_type: KeyType,
    hash: HashAlgorithm,
}

impl Algorithm {
    pub fn parse(name: &str) -> Option<Self> {
        let (key_type, bits) = name.split_at_checked(2)?;
        let key_type = match key_type {
            "HS" => KeyType::Hmac,
            "RS" => KeyType::Rsa,
            "ES" => KeyType::Ec,
            _ => return None,
        };
        let hash = match bits {
            "256" => HashAlgorithm::Sha256,
            "384" => HashAlgorithm::Sha384,
            "512" => HashAlgorithm::Sha512,
            _ => return None,
        };
        Some(Self { key_type, hash })
    }
}

/// The curves that go with the hash functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Bytes of a coordinate, and of each half of a signature.
    const fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    const fn hash(self) -> HashAlgorithm {
        match self {
            Self::P256 => HashAlgorithm::Sha256,
            Self::P384 => HashAlgorithm::Sha384,
            Self::P521 => HashAlgorithm::Sha512,
        }
    }

    fn of(oid: ObjectIdentifier) -> Option<Self> {
        match oid.to_string().as_str() {
            "1.2.840.10045.3.1.7" => Some(Self::P256),
            "1.3.132.0.34" => Some(Self::P384),
            "1.3.132.0.35" => Some(Self::P521),
            _ => None,
        }
    }
}

/// A key that verifies tokens.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    Hmac(Vec<u8>),
    /// An `RSAPublicKey` of RFC 8017, as DER.
    Rsa(Vec<u8>),
    /// Modulus and exponent, big-endian.
    RsaNumbers {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point in the uncompressed form of SEC 1.
    Ec(Curve, Vec<u8>),
}

impl Key {
    /// A key as an ini file has it: base64 for HMAC, else PEM with `\n` for the ends of lines.
    ///
    /// # Errors
    /// Where it is no key of this kind.
    pub fn configured(key_type: KeyType, text: &str) -> Result<Self, JwtError> {
        let not = match key_type {
            KeyType::Hmac => {
                let bytes = basic::BASE64.decode(text.trim());
                return bytes.map(Self::Hmac).map_err(|_| JwtError::NotAKey);
            }
            KeyType::Rsa => JwtError::NotAnRsaKey,
            KeyType::Ec => JwtError::NotAnEcKey,
        };
        let pem = pem::parse(text.replace("\\n", "\n")).map_err(|_| JwtError::NotAKey)?;
        let key = match pem.tag() {
            "PUBLIC KEY" => Self::from_spki(pem.contents()),
            "RSA PUBLIC KEY" => Some(Self::Rsa(pem.contents().to_vec())),
            _ => None,
        };
        key.filter(|key| key.key_type() == key_type).ok_or(not)
    }

    fn from_spki(der: &[u8]) -> Option<Self> {
        let info = SubjectPublicKeyInfoRef::try_from(der).ok()?;
        let bits = info.subject_public_key.as_bytes()?.to_vec();
        if info.algorithm.oid == RSA_ENCRYPTION {
            return Some(Self::Rsa(bits));
        }
        let curve = Curve::of(info.algorithm.parameters_oid().ok()?)?;
        (info.algorithm.oid == ID_EC_PUBLIC_KEY).then_some(Self::Ec(curve, bits))
    }

    /// A public key of a set (RFC 7517). Secrets have no place in what is read from an address.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let bytes = |name: &str| {
            let text = jwk.get(name)?.as_str()?;
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
        };
        match jwk.get("kty")?.as_str()? {
            "RSA" => Some(Self::RsaNumbers { n: bytes("n")?, e: bytes("e")? }),
            "EC" => {
                let curve = match jwk.get("crv")?.as_str()? {
                    "P-256" => Curve::P256,
                    "P-384" => Curve::P384,
                    "P-521" => Curve::P521,
                    _ => return None,
                };
                let (x, y) = (bytes("x")?, bytes("y")?);
                let fits = x.len() == curve.bytes() && y.len() == curve.bytes();
                fits.then(|| Self::Ec(curve, [&[4], x.as_slice(), y.as_slice()].concat()))
            }
            _ => None,
        }
    }

    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Hmac(_) => KeyType::Hmac,
            Self::Rsa(_) | Self::RsaNumbers { .. } => KeyType::Rsa,
            Self::Ec(..) => KeyType::Ec,
        }
    }

    /// # Errors
    /// Where somebody else signed the message, or in another way.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), JwtError> {
        if algorithm.key_type != self.key_type() {
            return Err(JwtError::BadSignature);
        }
        let right = match self {
            Self::Hmac(secret) => {
                let mac = hash::hmac(algorithm.hash, secret, &[message]);
                return if hash::equal(&mac, signature) { Ok(()) } else { Err(JwtError::BadHmac) };
            }
            Self::Rsa(der) => verifies(rsa(algorithm.hash), der, message, signature),
            Self::RsaNumbers { n, e } => {
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(rsa(algorithm.hash), message, signature).is_ok()
            }
            Self::Ec(curve, point) => {
                curve.hash() == algorithm.hash && ec_verifies(*curve, point, message, signature)
            }
        };
        if right { Ok(()) } else { Err(JwtError::BadSignature) }
    }
}

fn verifies(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

/// Keys of at least 2048 bits: shorter ones prove nothing.
fn rsa(hash: HashAlgorithm) -> &'static signature::RsaParameters {
    match hash {
        HashAlgorithm::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        HashAlgorithm::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        _ => &signature::RSA_PKCS1_2048_8192_SHA256,
    }
}

/// Signatures are two numbers of fixed length (RFC 7518, section 3.4); CouchDB before 3.3 wanted
/// the ASN.1 form, which old issuers may still make.
fn ec_verifies(curve: Curve, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let is_fixed = signature.len() == 2 * curve.bytes();
    let algorithm: &'static EcdsaVerificationAlgorithm = match (curve, is_fixed) {
        (Curve::P256, true) => &signature::ECDSA_P256_SHA256_FIXED,
        (Curve::P256, false) => &signature::ECDSA_P256_SHA256_ASN1,
        (Curve::P384, true) => &signature::ECDSA_P384_SHA384_FIXED,
        (Curve::P384, false) => &signature::ECDSA_P384_SHA384_ASN1,
        (Curve::P521, _) => return p521_verifies(point, message, signature, is_fixed),
    };
    verifies(algorithm, point, message, signature)
}

/// The curve that `ring` lacks.
fn p521_verifies(point: &[u8], message: &[u8], signature: &[u8], is_fixed: bool) -> bool {
    use p521::ecdsa::{Signature, VerifyingKey};
    let parsed =
        if is_fixed { Signature::from_slice(signature) } else { Signature::from_der(signature) };
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_sec1_bytes(point), parsed) else {
        return false;
    };
    key.verify(message, &signature).is_ok()
}
