//! Times as Defender writes them, and as receivers want them.

use crate::record::Timestamp;

/// A time read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A moment; `zoned` is false where the text named no zone and UTC was taken.
    At(Timestamp, bool),
    /// `0001-01-01…`, `9999-12-31T23:59:59…`: the services' way to say "none".
    Sentinel,
    /// Not a time.
    Invalid,
}

/// Reads `YYYY-MM-DDThh:mm:ss[.fraction][Z|±hh:mm]` and epoch seconds or milliseconds.
#[must_use]
pub fn read(text: &str) -> Read {
    parse_iso(text.trim().as_bytes()).unwrap_or_else(|| read_epoch(text.trim()))
}

fn read_epoch(text: &str) -> Read {
    match (text.len(), text.parse::<i64>()) {
        (10, Ok(seconds)) => Read::At(Timestamp(seconds * 1000), true),
        (13, Ok(milliseconds)) => Read::At(Timestamp(milliseconds), true),
        _ => Read::Invalid,
    }
}

fn parse_iso(bytes: &[u8]) -> Option<Read> {
    let number = |range: std::ops::Range<usize>| {
        bytes
            .get(range)?
            .iter()
            .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let mark = |at: usize, marks: &[u8]| bytes.get(at).filter(|byte| marks.contains(byte)).map(drop);
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    mark(4, b"-").and(mark(7, b"-")).and(mark(10, b"Tt "))?;
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    mark(13, b":").and(mark(16, b":"))?;
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    if year == 1 || (year == 9999 && month == 12 && day == 31) {
        return Some(Read::Sentinel);
    }
    let mut at = 19;
    let mut milliseconds = 0;
    if bytes.get(at) == Some(&b'.') {
        let n_digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if n_digits == 0 || n_digits > 9 {
            return None;
        }
        milliseconds = (0..3).fold(0, |sum, place| {
            sum * 10 + if place < n_digits { i64::from(bytes[at + 1 + place] - b'0') } else { 0 }
        });
        at += 1 + n_digits;
    }
    let (offset, zoned) = match &bytes[at..] {
        [] => (0, false),
        [b'Z' | b'z'] => (0, true),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = number(at + 1..at + 3)? * 60 + number(at + 4..at + 6)?;
            (if *sign == b'-' { -minutes } else { minutes }, true)
        }
        _ => return None,
    };
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
    Some(Read::At(Timestamp(seconds * 1000 + milliseconds), zoned))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defender_times_are_read_to_the_millisecond() {
        let at = |ms| Read::At(Timestamp(ms), true);
        let rows = [
            ("2020-06-30T09:08:11.1084877Z", at(1_593_508_091_108)),
            ("2022-11-07T17:07:42Z", at(1_667_840_862_000)),
            ("2022-11-07T17:07:42.5Z", at(1_667_840_862_500)),
            ("2022-11-07T19:07:42.025+02:00", at(1_667_840_862_025)),
            ("1969-12-31T23:59:59.999Z", at(-1)),
            ("2024-02-29T00:00:00Z", at(1_709_164_800_000)),
            ("2022-11-07T17:07:42.025", Read::At(Timestamp(1_667_840_862_025), false)),
            ("1667840862025", at(1_667_840_862_025)),
            ("1667840862", at(1_667_840_862_000)),
            ("0001-01-01T00:00:00Z", Read::Sentinel),
            ("9999-12-31T23:59:59.9999999Z", Read::Sentinel),
            ("2023-02-29T00:00:00Z", Read::Invalid),
            ("2022-11-07", Read::Invalid),
            ("2022-11-07T17:07:42.Z", Read::Invalid),
            ("2022-11-07T17:07:42 CET", Read::Invalid),
            ("yesterday", Read::Invalid),
            ("", Read::Invalid),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
