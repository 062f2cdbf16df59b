//! Verify: is an erased person gone, from every view and from every byte?

use std::io::{ErrorKind, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use memchr::memmem;
use sha2::{Digest, Sha256};

use crate::storage::Storage;

/// The most bytes that one packed piece is unpacked to.
const UNPACKED_BYTES_MAX: usize = 1 << 24;

/// A trace of somebody that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The file.
    pub file: String,
    /// Where in it, or in what was unpacked from there.
    pub at: usize,
    /// In which form.
    pub form: String,
}

/// A form in which a value is looked for.
struct Form {
    name: String,
    bytes: Vec<u8>,
}

/// The forms of a value: in clear, in lower and upper case, hashed, and all of these in
/// hexadecimal digits and base64; and the hash `keyed` that the engine knows it by.
fn forms(value: &str, keyed: &[u128]) -> Vec<Form> {
    let clear = [value.to_owned(), value.to_lowercase(), value.to_uppercase()];
    let mut forms = Vec::new();
    for (text, how) in clear.iter().zip(["in clear", "in lower case", "in upper case"]) {
        add(&mut forms, how, text.as_bytes());
        add(&mut forms, &format!("{how}, SHA-256"), &Sha256::digest(text.as_bytes()));
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        forms.push(Form { name: format!("{how}, UTF-16"), bytes: wide });
    }
    for keyed in keyed {
        add(&mut forms, "as the engine's identifier", &keyed.to_be_bytes());
        add(&mut forms, "as the engine's identifier, backwards", &keyed.to_le_bytes());
        // Halves stand apart where a number is packed.
        for half in [&keyed.to_be_bytes()[1..8], &keyed.to_be_bytes()[8..]] {
            let backwards: Vec<u8> = half.iter().rev().copied().collect();
            add(&mut forms, "as half of the engine's identifier", half);
            add(&mut forms, "as half of the engine's identifier, backwards", &backwards);
        }
    }
    forms.retain(|form| 4 < form.bytes.len());
    forms
}

/// Adds bytes as they are, in hexadecimal digits, and in base64 at each of its three alignments.
fn add(forms: &mut Vec<Form>, name: &str, bytes: &[u8]) {
    forms.push(Form { name: name.to_owned(), bytes: bytes.to_vec() });
    let digits = crate::durable::hex(bytes);
    forms.push(Form { name: format!("{name}, in digits"), bytes: digits.into_bytes() });
    for skip in 0..3 {
        // What stands before shifts the letters; those that depend on the neighbours are left out.
        let mut shifted = vec![0; skip];
        shifted.extend_from_slice(bytes);
        let letters = BASE64.encode(&shifted).into_bytes();
        let (from, to) = ((skip * 8).div_ceil(6), shifted.len() * 8 / 6);
        let inner = letters.get(from..to).unwrap_or_default().to_vec();
        forms.push(Form { name: format!("{name}, in base64"), bytes: inner });
    }
}

/// Looks for the values in every file below a folder of `storage`, the root being the empty name,
/// also in what unpacks as gzip, zlib or deflate. `keyed` gives the hashes that the engine knows a
/// value by.
///
/// Cost: one pass over all bytes for each form of each value.
///
/// # Errors
///
/// A file cannot be read.
pub fn scan(
    storage: &dyn Storage,
    values: &[String],
    keyed: &dyn Fn(&str) -> Vec<u128>,
) -> std::io::Result<Vec<Trace>> {
    let forms: Vec<Form> = values.iter().flat_map(|value| forms(value, &keyed(value))).collect();
    let mut traces = Vec::new();
    let mut names = vec![String::new()];
    while let Some(name) = names.pop() {
        let inside = match storage.list(&name) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => Vec::new(),
            listed => listed?,
        };
        let folder = if name.is_empty() { String::new() } else { format!("{name}/") };
        match inside.is_empty() && !name.is_empty() {
            true => {
                // A file, or an empty folder, of which there is nothing to read.
                let Ok(bytes) = storage.read(&name) else { continue };
                look(&name, &bytes, "", &forms, &mut traces);
                unpack(&name, &bytes, &forms, &mut traces);
            }
            false => names.extend(inside.into_iter().map(|inner| format!("{folder}{inner}"))),
        }
    }
    Ok(traces)
}

/// Looks for forms in bytes.
fn look(file: &str, bytes: &[u8], packed: &str, forms: &[Form], traces: &mut Vec<Trace>) {
    for form in forms {
        if let Some(at) = memmem::find(bytes, &form.bytes) {
            let form = format!("{}{packed}", form.name);
            traces.push(Trace { file: file.to_owned(), at, form });
        }
    }
}

/// Looks for forms in what unpacks, wherever a packed piece may begin.
fn unpack(file: &str, bytes: &[u8], forms: &[Form], traces: &mut Vec<Trace>) {
    let most = u64::try_from(UNPACKED_BYTES_MAX).unwrap_or(u64::MAX);
    for (at, head) in bytes.windows(2).enumerate() {
        let rest = &bytes[at..];
        let mut piece = Vec::new();
        match head {
            [0x1f, 0x8b] => _ = GzDecoder::new(rest).take(most).read_to_end(&mut piece),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda] => {
                _ = ZlibDecoder::new(rest).take(most).read_to_end(&mut piece);
            }
            _ if at == 0 => _ = DeflateDecoder::new(rest).take(most).read_to_end(&mut piece),
            _ => continue,
        }
        look(file, &piece, &format!(", packed at byte {at}"), forms, traces);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::storage::Disk;

    #[test]
    fn a_planted_value_is_found_in_every_form() {
        let value = "Canary-7f3a@example.org";
        let lower = value.to_lowercase();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(format!("before {value} behind").as_bytes()).unwrap();
        let planted: [Vec<u8>; 7] = [
            format!("a {value} b").into_bytes(),
            lower.clone().into_bytes(),
            Sha256::digest(lower.as_bytes()).to_vec(),
            BASE64.encode(format!("x{value}y")).into_bytes(),
            BASE64.encode(format!("xy{lower}z")).into_bytes(),
            [b"junk".to_vec(), gzip.finish().unwrap()].concat(),
            [vec![9], 0x1234_5678_9abc_def0_1122_3344_5566_7788_u128.to_le_bytes().to_vec()]
                .concat(),
        ];
        for (number, bytes) in planted.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("inner")).unwrap();
            std::fs::write(folder.path().join("inner/file"), bytes).unwrap();
            std::fs::write(folder.path().join("other"), b"nothing of the kind").unwrap();
            let disk = Disk::new(folder.path());
            let keyed = |_: &str| vec![0x1234_5678_9abc_def0_1122_3344_5566_7788];
            let found = scan(&disk, &[value.to_owned()], &keyed).unwrap();
            assert!(found.iter().any(|trace| trace.file == "inner/file"), "form {number}");
            assert!(found.iter().all(|trace| trace.file != "other"), "form {number}");
        }
    }
}
