//! Opening a folder: what is there, what a crash left half done, where everything stands.
//!
//! Only the newest segment is read through. A new segment is begun on every start, so that none is ever continued
//! in another version's format.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, info, warn};

use super::account::Account;
use super::cursor::{self, Cursor, CursorFile};
use super::disk::{self, Disk};
use super::frame::Frame;
use super::log::{Condition, Destination, Log};
use super::segment::{self, Extent, Opening, Positions, Scan};
use super::{Config, SpoolError};
use crate::record::{Name, Partition, Position, Timestamp};

/// Repairs the folder and begins a new segment, if there is space for one.
pub(super) fn recover(
    config: &Config,
    destinations: &[String],
    account: &Account,
    disk: &Disk,
) -> Result<Recovered, SpoolError> {
    let directory = config.directory.as_path();
    let in_directory = |source| SpoolError::Directory { path: directory.to_owned(), source };
    remove_leftovers(directory).map_err(in_directory)?;
    let mut found = survey(directory)?;
    for unreadable in &found.unreadable {
        set_unreadable_aside(unreadable).map_err(|source| failed(unreadable, source))?;
    }
    set_damaged_aside(&mut found.extents)?;
    let positions = recover_newest(&mut found, account)?;
    let cursors = open_cursors(directory, destinations).map_err(in_directory)?;
    let end = found.extents.back().map_or(1, |extent| extent.end);
    let next = cursors.iter().filter_map(|(_, _, cursor)| *cursor).map(|cursor| cursor.0).fold(end, u64::max);
    if next > end {
        error!(
            from = end,
            to = next,
            "delivered records are missing on disk; their numbers are not used again"
        );
    }
    close_gaps(&mut found.extents, next);
    let (file, is_new) = begin(directory, &mut found.extents, next, &positions, disk)
        .map_err(|source| SpoolError::Write { path: directory.to_owned(), source: Arc::new(source) })?;
    let oldest = found.extents.front().map_or(1, |extent| extent.first);
    let destinations = cursors
        .into_iter()
        .map(|(name, file, cursor)| place(&name, file, cursor, oldest))
        .collect::<io::Result<_>>()
        .map_err(in_directory)?;
    let log = Log { extents: found.extents, positions, destinations, condition: Condition::Open };
    info!(oldest, next, bytes = log.bytes(), segments = log.extents.len(), "spool opened");
    Ok(Recovered { log, file, is_new })
}

/// A spool that can be gone on with.
pub(super) struct Recovered {
    pub(super) log: Log,
    /// The last segment.
    pub(super) file: File,
    /// It was begun now. Otherwise the disk is full: before anything is written, a new one must be begun.
    pub(super) is_new: bool,
}

/// Begins a segment, or opens the last there is while the disk has no space for another: what it holds can be
/// delivered meanwhile.
fn begin(
    directory: &Path,
    extents: &mut VecDeque<Extent>,
    next: u64,
    positions: &Positions,
    disk: &Disk,
) -> io::Result<(File, bool)> {
    match (segment::create(directory, next, positions, disk), extents.back()) {
        (Ok((file, extent)), _) => {
            // One without records had the same name and is replaced.
            while extents.back().is_some_and(|last| last.path == extent.path) {
                extents.pop_back();
            }
            extents.push_back(extent);
            Ok((file, true))
        }
        (Err(error), Some(last)) if disk::is_full(&error) => {
            Ok((File::options().append(true).open(&last.path)?, false))
        }
        (Err(error), _) => Err(error),
    }
}

/// The segments of a folder; `end` of the newest is not known yet.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) extents: VecDeque<Extent>,
    /// Which segment is the newest whose header is whole, and the positions in it.
    newest: Option<(usize, Positions)>,
    unreadable: Vec<PathBuf>,
}

/// Reads every segment's header.
pub(super) fn survey(directory: &Path) -> Result<Survey, SpoolError> {
    let listed = segment::list(directory)
        .map_err(|source| SpoolError::Directory { path: directory.to_owned(), source })?;
    let mut survey = Survey::default();
    for (first, path) in listed {
        let file = match File::open(&path) {
            Ok(file) => file,
            // Beside a running process, a segment may go at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(&path, source)),
        };
        let opening = segment::read_header(&path, &file)?.filter(|opening| opening.first == first);
        let extent = match &opening {
            Some(opening) => whole(&path, &file, opening),
            None => headless(&path, &file, first),
        };
        let Some(extent) = extent.map_err(|source| failed(&path, source))? else {
            survey.unreadable.push(path);
            continue;
        };
        if let Some(before) = survey.extents.back_mut() {
            before.end = first;
        }
        if let Some(opening) = opening {
            survey.newest = Some((survey.extents.len(), opening.positions));
        }
        survey.extents.push_back(extent);
    }
    Ok(survey)
}

fn whole(path: &Path, file: &File, opening: &Opening) -> io::Result<Option<Extent>> {
    Ok(Some(Extent {
        path: path.into(),
        first: opening.first,
        end: opening.first,
        header: opening.header,
        bytes: file.metadata()?.len(),
        opened: opening.opened,
        released: false,
        damaged: path.extension().is_some_and(|extension| extension == segment::CORRUPT),
    }))
}

/// A segment whose header is damaged is read from its first whole frame on; `None` when it has none.
fn headless(path: &Path, file: &File, first: u64) -> io::Result<Option<Extent>> {
    let metadata = file.metadata()?;
    let bytes = metadata.len();
    let found = segment::find_frame(file, 0, bytes, first..=first.saturating_add(PLAUSIBLE_GAP))?;
    let Some((header, _)) = found else { return Ok(None) };
    let written = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let opened = Timestamp(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
    let path = path.into();
    Ok(Some(Extent { path, first, end: first, header, bytes, opened, released: false, damaged: true }))
}

/// Finds the end of the newest segment and the positions there.
fn recover_newest(found: &mut Survey, account: &Account) -> Result<Positions, SpoolError> {
    // Usually the newest has a whole header. Otherwise the one before it is read through as well.
    let (start, mut positions) = found.newest.take().unwrap_or_default();
    let last = found.extents.len().saturating_sub(1);
    let mut unbroken = true;
    for (at, extent) in found.extents.iter_mut().enumerate().skip(start) {
        let follower = extent.end;
        let end = find_end(extent, |frame| {
            if unbroken {
                apply(&mut positions, frame);
            }
            count(account, frame);
        });
        let end = end.map_err(|source| failed(&extent.path, source))?;
        if at == last {
            repair(extent, &end).map_err(|source| failed(&extent.path, source))?;
        } else {
            unbroken &= extent.end == follower && !matches!(end, End::Damaged);
            extent.end = follower;
        }
    }
    Ok(positions)
}

fn repair(extent: &mut Extent, end: &End) -> io::Result<()> {
    let path = extent.path.display();
    match *end {
        End::Clean => {}
        End::Torn { at } => {
            let cut = extent.bytes - at;
            warn!(%path, bytes = cut, "the last write was torn; its records were not acknowledged");
            let file = File::options().write(true).open(&extent.path)?;
            file.set_len(at)?;
            file.sync_all()?;
            extent.bytes = at;
        }
        End::Damaged => {
            error!(%path, "a damaged frame lies before whole ones; sources resume before it");
            set_aside(extent)?;
        }
    }
    Ok(())
}

/// Gives damaged segments the name that says so; they are still read.
fn set_damaged_aside(extents: &mut VecDeque<Extent>) -> Result<(), SpoolError> {
    for extent in extents.iter_mut().filter(|extent| extent.damaged) {
        set_aside(extent).map_err(|source| failed(&extent.path, source))?;
    }
    Ok(())
}

fn set_aside(extent: &mut Extent) -> io::Result<()> {
    extent.damaged = true;
    let aside = extent.path.with_extension(segment::CORRUPT);
    if *aside != *extent.path {
        error!(path = %extent.path.display(), "a damaged segment is set aside; it is read as far as it can be");
        fs::rename(&extent.path, &aside)?;
        extent.path = aside.into();
    }
    Ok(())
}

/// What is behind the last frame in order.
pub(super) enum End {
    Clean,
    /// Nothing but half a write, from here on.
    Torn {
        at: u64,
    },
    /// Whole frames follow a bad one.
    Damaged,
}

/// Reads a segment through and sets its `end`. `visit` sees the frames before the first bad one: what follows
/// damage is delivered, but no source may resume behind a frame that was lost.
pub(super) fn find_end(extent: &mut Extent, mut visit: impl FnMut(&Frame<'_>)) -> io::Result<End> {
    let file = File::open(&extent.path)?;
    let mut scan = Scan::new(&file, extent.header, extent.bytes);
    extent.end = extent.first;
    while let Some((place, frame)) = scan.next()? {
        if frame.header.first != extent.end {
            scan.offset = place;
            break;
        }
        extent.end = frame.header.end();
        visit(&frame);
    }
    let at = scan.offset;
    if at == extent.bytes {
        return Ok(End::Clean);
    }
    let mut behind = at;
    let mut damaged = false;
    let plausible = |end: u64| end..=end.saturating_add(PLAUSIBLE_GAP);
    while let Some((offset, header)) =
        segment::find_frame(&file, behind, extent.bytes, plausible(extent.end))?
    {
        damaged = true;
        behind = offset + header.size() as u64;
        extent.end = header.end();
    }
    Ok(if damaged { End::Damaged } else { End::Torn { at } })
}

fn apply(positions: &mut Positions, frame: &Frame<'_>) {
    let key = || (Name::from(frame.source), Partition(frame.partition.to_owned()));
    if let Some(position) = frame.position {
        if frame.extends {
            positions.entry(key()).or_default().0.push_str(position);
        } else {
            positions.insert(key(), Position(position.to_owned()));
        }
    } else if frame.forgets {
        positions.remove(&key());
    }
}

/// Counts the frames the account was not written for before the end.
fn count(account: &Account, frame: &Frame<'_>) {
    let mut counts = vec![0u64; frame.tables.len()];
    for (table, _) in frame.bodies() {
        counts[table] += 1;
    }
    let counts: Vec<(&str, u64)> = frame.tables.iter().copied().zip(counts).collect();
    account.count_recovered(frame.source, &counts, Timestamp(frame.header.time), frame.header.end());
}

/// Every segment ends where the next begins; what is missing between is found out by reading.
fn close_gaps(extents: &mut VecDeque<Extent>, next: u64) {
    if let Some(last) = extents.back_mut() {
        last.end = next;
    }
}

fn open_cursors(
    directory: &Path,
    destinations: &[String],
) -> io::Result<Vec<(String, CursorFile, Option<Cursor>)>> {
    for name in cursor::list(directory)? {
        if !destinations.contains(&name) {
            info!(
                destination = name,
                "a cursor of a destination that is not configured is kept, but holds no records"
            );
        }
    }
    let open =
        |name: &String| CursorFile::open(directory, name).map(|(file, cursor)| (name.clone(), file, cursor));
    destinations.iter().map(open).collect()
}

fn place(name: &str, mut file: CursorFile, cursor: Option<Cursor>, oldest: u64) -> io::Result<Destination> {
    if let Some(Cursor(cursor)) = cursor
        && cursor < oldest
    {
        warn!(
            destination = name,
            from = cursor,
            to = oldest,
            "records after the cursor are no longer in the spool"
        );
    }
    let place = cursor.map_or(oldest, |cursor| cursor.0.max(oldest));
    if cursor != Some(Cursor(place)) {
        match file.write(Cursor(place)) {
            Err(error) if !disk::is_full(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(Destination::new(name, place, file))
}

fn remove_leftovers(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == disk::TEMPORARY) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn set_unreadable_aside(path: &Path) -> io::Result<()> {
    error!(path = %path.display(), "a segment's header cannot be read; it is set aside");
    fs::rename(path, path.with_extension(segment::UNREADABLE))
}

fn failed(path: &Path, source: io::Error) -> SpoolError {
    SpoolError::Read { path: path.to_owned(), source }
}

/// How far a sequence number behind damage may be from what was expected.
const PLAUSIBLE_GAP: u64 = 1 << 32;
