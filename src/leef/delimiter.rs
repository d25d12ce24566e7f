//! The character between LEEF 2.0 attributes, as it is configured and as the header names it.

use std::str::FromStr;

use serde::Deserialize;

/// A character that may stand between attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The tab: the one delimiter of LEEF 1.0.
    pub const TAB: Self = Self(b'\t');

    /// The byte on the wire.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Writes the header's sixth field: the character itself, or hexadecimal for one that cannot be printed.
    pub fn write(self, out: &mut Vec<u8>) {
        match self.0 {
            printable @ b'!'..=b'~' => out.push(printable),
            other => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'x', digit(other >> 4), digit(other & 0x0f)]);
            }
        }
    }
}

impl FromStr for Delimiter {
    type Err = DelimiterError;

    /// One character, or `x` or `0x` and one to four hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, DelimiterError> {
        let malformed = || DelimiterError::Malformed(text.to_owned());
        let code = match (text.as_bytes(), text.strip_prefix("0x").or(text.strip_prefix('x'))) {
            ([one], _) => u32::from(*one),
            (_, Some(digits))
                if (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                u32::from_str_radix(digits, 16).map_err(|_| malformed())?
            }
            _ => return Err(malformed()),
        };
        match u8::try_from(code) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b"= |\\\r\n\0".contains(&byte) => {
                Err(DelimiterError::Ambiguous(text.to_owned()))
            }
            Ok(byte) if byte.is_ascii() => Ok(Self(byte)),
            _ => Err(malformed()),
        }
    }
}

impl TryFrom<String> for Delimiter {
    type Error = DelimiterError;

    fn try_from(text: String) -> Result<Self, DelimiterError> {
        text.parse()
    }
}

/// Why a text is no delimiter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelimiterError {
    /// Not a single ASCII character in one of the two notations.
    #[error("`{0}` is neither one ASCII character nor `x` and its hexadecimal code")]
    Malformed(String),
    /// A character that keys, values or the header are made of.
    #[error("`{0}` cannot part attributes: keys, header and lines are made of it")]
    Ambiguous(String),
}

const HEX: [u8; 16] = *b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_character_that_means_nothing_else() {
        let check = |text: &str, wanted: Option<(u8, &str)>| {
            let read = text.parse::<Delimiter>().ok().map(|delimiter| {
                let mut out = Vec::new();
                delimiter.write(&mut out);
                (delimiter.byte(), String::from_utf8(out).unwrap())
            });
            assert_eq!(read, wanted.map(|(byte, text)| (byte, text.to_owned())), "{text}");
        };
        check("^", Some((b'^', "^")));
        check("x5E", Some((b'^', "^")));
        check("0x09", Some((b'\t', "x09")));
        check("\t", Some((b'\t', "x09")));
        check("x1f", Some((0x1f, "x1F")));
        check("0x001F", Some((0x1f, "x1F")));
        for refused in [
            "=", "x3D", "a", "7", " ", "x20", "|", "x7c", "\\", "\n", "x0A", "x0", "", "^^", "xyz", "x20AC",
            "é", "0x", "x+9",
        ] {
            check(refused, None);
        }
    }
}
