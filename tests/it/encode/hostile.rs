//! Events as an attacker would like to have them logged, the same ones on every run.

use cefgate::cef::Version;
use cefgate::dictionary::{self, Kind};

/// One event before it is encoded.
#[derive(Debug)]
pub struct Case {
    pub version: Version,
    pub severity: u8,
    /// Vendor, product, device version, class id, name.
    pub header: [String; 5],
    /// Key, text, most characters.
    pub pairs: Vec<(String, String, Option<u32>)>,
}

impl Case {
    /// The header fields as a reader should get them.
    pub fn clean_header(&self) -> [String; 5] {
        let limits = [63, 63, 31, 1023, 512];
        let mut limits = limits.into_iter();
        self.header.each_ref().map(|text| match cut(&spaced(text, &[]), limits.next()) {
            clean if clean.is_empty() => "-".to_owned(),
            clean => clean,
        })
    }

    /// The pairs as a reader should get them; `kept` are the control characters the format can carry.
    pub fn clean_pairs(&self, kept: &[char]) -> Vec<(String, String)> {
        let clean = self.pairs.iter().map(|(key, text, max)| (key.clone(), cut(&spaced(text, kept), *max)));
        clean.filter(|(_, text)| !text.is_empty()).collect()
    }
}

/// Control characters as spaces.
pub fn spaced(text: &str, kept: &[char]) -> String {
    text.chars()
        .map(|char| if char.is_ascii_control() && !kept.contains(&char) { ' ' } else { char })
        .collect()
}

/// Trimmed, cut and trimmed again.
pub fn cut(text: &str, max: Option<u32>) -> String {
    let blank = [' ', '\r', '\n'];
    let most = max.map_or(usize::MAX, |max| usize::try_from(max).unwrap());
    let cut: String = text.trim_matches(blank).chars().take(most).collect();
    cut.trim_matches(blank).to_owned()
}

/// A generator of its own (xorshift64*), so that a failing case can be met again.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number % u64::try_from(bound).unwrap()).unwrap()
    }

    /// One event.
    pub fn case(&mut self) -> Case {
        let mut pairs: Vec<(String, String, Option<u32>)> = Vec::new();
        for _ in 0..self.below(9) {
            let (key, max) = self.key();
            if pairs.iter().all(|(other, ..)| *other != key) {
                let text = self.text(10);
                pairs.push((key, text, max));
            }
        }
        Case {
            version: if self.below(4) == 0 { Version::V1 } else { Version::V0 },
            severity: u8::try_from(self.below(13)).unwrap(),
            header: std::array::from_fn(|_| self.text(6)),
            pairs,
        }
    }

    /// A text of up to `pieces` pieces, mostly awkward.
    pub fn text(&mut self, pieces: usize) -> String {
        let mut text = String::new();
        for _ in 0..self.below(pieces + 1) {
            match self.below(4) {
                0 => text.push_str(AWKWARD[self.below(AWKWARD.len())]),
                1 => text.extend(
                    (0..self.below(40)).map(|_| char::from(b' ' + u8::try_from(self.below(95)).unwrap())),
                ),
                2 => text.push(
                    char::from_u32(u32::try_from(self.below(0x11_0000)).unwrap()).unwrap_or('\u{fffd}'),
                ),
                _ => text.push_str(WORDS[self.below(WORDS.len())]),
            }
        }
        if self.below(300) == 0 {
            text = text.repeat(20);
        }
        text
    }

    /// A key that takes any text, with its limit or a shorter one.
    fn key(&mut self) -> (String, Option<u32>) {
        loop {
            let key = &dictionary::KEYS[self.below(dictionary::KEYS.len())];
            if key.kind == Kind::Text {
                let max = match self.below(6) {
                    0 => Some(u32::try_from(self.below(20)).unwrap()),
                    _ => key.max,
                };
                return (key.name.to_owned(), max);
            }
        }
    }
}

#[rustfmt::skip]
const AWKWARD: &[&str] = &[
    "=", "|", "\\", "\"", "'", "\n", "\r", "\r\n", "\t", "\0", "\x0b", "\x1b[31m", "\x1f", "\x7f", " ", "  ", "^", "~",
    "\\n", "\\=", "\\|", "\\\\", "\\", " act=x", " act=", "act=x", "=act=", " cs1Label=x ", "\ndhost=x", "CEF:0|",
    "|10|", "\nCEF:0|a|b|c|d|e|5|", "\u{2028}", "\u{85}", "\u{feff}", "\u{a0}", "\u{200b}", "é", "ß", "😀", "👩‍👩‍👧",
    "\u{10ffff}", "%s%n", "${jndi:ldap://x.example}", "</Event>", "{\"a\":1}", "0 <134>1 - - - - - - ", "12 ",
];

const WORDS: &[&str] = &[
    "powershell.exe -EncodedCommand ",
    r"C:\Windows\System32\cmd.exe",
    "https://login.example/?a=b&c=d",
    "plain words without anything",
    "x",
    "DESKTOP-1",
    r"CORP\ann",
    "ünïcödé ",
    "日本語",
];
