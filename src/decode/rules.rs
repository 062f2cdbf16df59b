//! Rules: how does a shop write identifiers and money, and which identifiers name nobody?

use std::borrow::Cow;

use dataflows::{Identifier, Kind};

use crate::names::Dictionary;

/// How one kind of identifier is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindFormat {
    /// The name of the kind.
    pub name: String,
    /// Whether upper and lower case are the same, as in an e-mail address.
    pub lower: bool,
}

/// What all sources of a shop have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The kinds of identifiers, the strongest first.
    pub kinds: Vec<KindFormat>,
    /// The values that name nobody.
    pub blocked: Blocked,
    /// Digits after the point of an amount.
    pub decimals: u8,
    /// How far ahead of the receiving clock an event time may lie, in microseconds.
    pub future_max: i64,
}

impl Rules {
    /// The identifier that `text`, written `kind:value`, stands for.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and the way out.
    pub fn identifier(&self, text: &str, names: &Dictionary) -> Result<Identifier, String> {
        let kinds = || {
            let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name.as_str()).collect();
            kinds.join(", ")
        };
        let (kind, value) = text
            .split_once(':')
            .ok_or_else(|| format!("write `{text}` as kind:value; the kinds are {}", kinds()))?;
        let place = self.kinds.iter().position(|known| known.name == kind);
        let (place, format) = place
            .and_then(|place| Some((u8::try_from(place).ok()?, self.kinds.get(place)?)))
            .ok_or_else(|| format!("`{kind}` is no kind of identifier; they are {}", kinds()))?;
        let value = format.normalise(value);
        if self.blocked.blocks(&value) {
            return Err(format!("`{value}` is a blocked value: it names nobody"));
        }
        Ok(names.identifier_of(Kind(place), &value))
    }
}

/// Values of identifiers that name nobody, and so join nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Patterns in which `*` stands for any text; case does not count.
    pub patterns: Vec<String>,
    /// Whether a value of nothing but zeros and dashes is blocked: `0`, the zero UUID.
    pub zeros: bool,
}

impl Blocked {
    /// Whether `value` names nobody; the empty value never does.
    #[must_use]
    pub fn blocks(&self, value: &str) -> bool {
        value.is_empty()
            || (self.zeros && value.bytes().all(|byte| matches!(byte, b'0' | b'-')))
            || self.patterns.iter().any(|pattern| fits(pattern.as_bytes(), value.as_bytes()))
    }
}

/// Whether `text` fits `pattern`, whose `*` stands for any text; ASCII case does not count.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The last star, and up to where it has eaten: the only place to come back to.
    let mut star = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if wanted.eq_ignore_ascii_case(byte) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((place, eaten)) = star else { return false };
                star = Some((place, eaten + 1));
                p = place + 1;
                t = eaten + 1;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

impl KindFormat {
    /// The one spelling of `value`: without white space around it, and lower case if case does
    /// not count.
    #[must_use]
    pub fn normalise<'a>(&self, value: &'a str) -> Cow<'a, str> {
        let value = value.trim();
        let plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
        if self.lower && !value.bytes().all(plain) {
            return Cow::Owned(value.to_lowercase());
        }
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_values_are_patterns_without_case() {
        let patterns = ["null", "n/a", "test@*", "*@example.*"].map(str::to_owned).to_vec();
        let blocked = Blocked { patterns, zeros: true };
        for value in ["", "NULL", "N/A", "test@shop", "a@b@example.com", "000", "0000-0000"] {
            assert!(blocked.blocks(value), "{value}");
        }
        for value in ["nulls", "a-test@shop", "a@example", "0001", "x"] {
            assert!(!blocked.blocks(value), "{value}");
        }
    }

    #[test]
    fn a_value_has_one_spelling() {
        let email = KindFormat { name: "email".into(), lower: true };
        let user = KindFormat { name: "user".into(), lower: false };
        assert_eq!(email.normalise(" Ann@Example.ORG "), "ann@example.org");
        assert_eq!(email.normalise("ÉVA@x"), "éva@x");
        assert_eq!(user.normalise(" U1 "), "U1");
    }
}
