//! Seal: how do bytes become unreadable without a key, and unchangeable?
//!
//! All sealing is AES-256-GCM (NIST SP 800-38D), all signing HMAC-SHA-256, and every purpose has a
//! key of its own, which is derived from the directory's. An event is some sixty bytes, each under
//! its person's key: of the ciphers of these crates this one is by far the fastest at that, four
//! times as fast as ChaCha20-Poly1305 on a processor with instructions for it.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::storage::Fields;

/// How many bytes sealing adds.
pub(super) const TAG_BYTES: usize = 16;

/// How many bytes a key has.
pub(super) const KEY_BYTES: usize = 32;

/// What is used once under a key: the generation of the directory, and a number that it uses once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub u32, pub u64);

impl Nonce {
    /// The nonce of these bytes.
    #[must_use]
    pub fn of(bytes: [u8; 12]) -> Nonce {
        let mut fields = Fields(&bytes);
        Nonce(fields.u32().unwrap_or_default(), fields.u64().unwrap_or_default())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let all = self.0.to_le_bytes().into_iter().chain(self.1.to_le_bytes());
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// HMAC-SHA-256 under a key.
fn mac(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("a key of any length will do")
}

/// What `bytes` are authenticated by under a key.
pub(super) fn sign(key: &[u8; KEY_BYTES], bytes: &[u8]) -> [u8; 32] {
    mac(key).chain_update(bytes).finalize().into_bytes().into()
}

/// Whether `signature` is that of `bytes`, in the same time for every answer.
pub(super) fn verify(key: &[u8; KEY_BYTES], bytes: &[u8], signature: &[u8]) -> bool {
    mac(key).chain_update(bytes).verify_slice(signature).is_ok()
}

fn cipher(key: &[u8; KEY_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
}

/// Appends `plain` to `out`, sealed for `of`.
pub(super) fn seal(
    key: &[u8; KEY_BYTES],
    nonce: [u8; 12],
    of: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(plain);
    let text = out.get_mut(start..).unwrap_or_default();
    let tag = cipher(key).encrypt_inout_detached(&nonce.into(), of, text.into());
    out.extend_from_slice(&tag.expect("a text is shorter than 64 GiB"));
}

/// Puts what is sealed for `of` into `out`, in place of what it holds; nothing if it is damaged.
pub(super) fn unseal(
    key: &[u8; KEY_BYTES],
    nonce: [u8; 12],
    of: &[u8],
    sealed: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    out.clear();
    let (text, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
    out.extend_from_slice(text);
    let buffer = out.as_mut_slice().into();
    let opened = cipher(key).decrypt_inout_detached(&nonce.into(), of, buffer, &Tag::from(*tag));
    if opened.is_err() {
        out.clear();
    }
    opened.ok()
}
