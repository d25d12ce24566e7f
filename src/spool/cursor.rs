//! A destination's place, kept in a file that a crash cannot break.
//!
//! Two slots of text, 4096 bytes apart, are written in turn: a torn write spoils the older one only. Writing in place
//! needs no new block, so a cursor moves (and space becomes free) on a full disk too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk;

/// The sequence number of the next record to deliver: all before it are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub u64);

/// The file of one destination's cursor.
#[derive(Debug)]
pub(super) struct CursorFile {
    file: File,
    generation: u64,
}

impl CursorFile {
    /// Opens or creates the file; gives the cursor it holds.
    pub(super) fn open(directory: &Path, destination: &str) -> io::Result<(Self, Option<Cursor>)> {
        let path = path(directory, destination);
        if !path.try_exists()? {
            disk::replace(&path, &[b'\n'; SLOT * 2])?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let newest = newest(&file)?;
        let generation = newest.map_or(0, |(generation, _)| generation);
        Ok((Self { file, generation }, newest.map(|(_, cursor)| cursor)))
    }

    /// Writes the cursor; it is durable on return.
    pub(super) fn write(&mut self, cursor: Cursor) -> io::Result<()> {
        let generation = self.generation + 1;
        let offset = (generation % 2) * SLOT as u64;
        self.file.write_all_at(line(generation, cursor).as_bytes(), offset)?;
        self.file.sync_data()?;
        self.generation = generation;
        Ok(())
    }
}

/// Reads a destination's cursor without opening it for writing.
pub(super) fn read(directory: &Path, destination: &str) -> io::Result<Option<Cursor>> {
    match File::open(path(directory, destination)) {
        Ok(file) => Ok(newest(&file)?.map(|(_, cursor)| cursor)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The destinations that have a cursor in a folder.
pub(super) fn list(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(unescape(stem));
        }
    }
    names.sort();
    Ok(names)
}

fn path(directory: &Path, destination: &str) -> PathBuf {
    directory.join(format!("{}.{EXTENSION}", escape(destination)))
}

/// Keeps a name from leaving its folder: what is not a letter, digit, `_` or `-` becomes `%XX`.
fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescape(name: &str) -> String {
    let mut out = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&byte, later)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| later.split_at_checked(2)).flatten();
        let code =
            escaped.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &later[2..] } else { later };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn line(generation: u64, cursor: Cursor) -> String {
    let text = format!("{generation:020} {:020}", cursor.0);
    format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

fn newest(file: &File) -> io::Result<Option<(u64, Cursor)>> {
    let mut bytes = Vec::with_capacity(SLOT * 2);
    file.take(SLOT as u64 * 2).read_to_end(&mut bytes)?;
    Ok([0, SLOT].into_iter().filter_map(|start| slot(bytes.get(start..start + LINE)?)).max())
}

fn slot(bytes: &[u8]) -> Option<(u64, Cursor)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let generation = text.get(..20)?.parse().ok()?;
    let cursor = Cursor(text.get(21..41)?.parse().ok()?);
    (line(generation, cursor) == text).then_some((generation, cursor))
}

const EXTENSION: &str = "cursor";
/// Distance of the two slots: a file system block, so that one write never touches both.
const SLOT: usize = 4096;
const LINE: usize = 20 + 1 + 20 + 1 + 8 + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cursor_is_read_back_and_a_torn_write_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, cursor) = CursorFile::open(folder.path(), "arc/../sight").unwrap();
        assert_eq!(cursor, None);
        for place in 1..=5 {
            file.write(Cursor(place * 10)).unwrap();
        }
        assert_eq!(list(folder.path()).unwrap(), ["arc/../sight"]);
        assert_eq!(read(folder.path(), "arc/../sight").unwrap(), Some(Cursor(50)));

        let newest = SLOT as u64; // the fifth write went to the second slot
        for torn in 0..LINE as u64 - 1 {
            file.file.write_all_at(b"#", newest + torn).unwrap();
            let (_, cursor) = CursorFile::open(folder.path(), "arc/../sight").unwrap();
            assert_eq!(cursor, Some(Cursor(40)), "broken at {torn}");
        }
    }
}
