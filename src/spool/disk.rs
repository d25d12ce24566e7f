//! The few file operations that must not lie: gathered writes, syncs, replacing a small file whole.
//!
//! Tests can make them fail; nothing else stands between the spool and the operating system.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::path::Path;
#[cfg(test)]
use std::sync::Arc;

/// The disk as the writer sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: Arc<faults::Faults>,
}

impl Disk {
    /// Writes all slices at the end of the file.
    pub(super) fn write(&self, file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.write(file, slices)?;
        while !slices.is_empty() {
            match file.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns once what was written survives a power cut.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.sync()?;
        file.sync_data()
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Replaces a small file so that a reader, or a crash, meets the old or the new one and nothing between.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_data()?;
    drop(file);
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Lets the page cache forget a file that will hardly be read again.
///
/// Without it every segment takes fresh memory until the machine has none left, which costs several times the work
/// of writing into memory that was used a moment ago.
pub(super) fn forget_pages(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::fadvise(File::open(path)?, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Whether waiting for space is the remedy.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The extension of files that do not count yet.
pub(super) const TEMPORARY: &str = "tmp";

#[cfg(test)]
pub(super) mod faults {
    use std::sync::Mutex;

    use super::*;

    /// What goes wrong, and when.
    #[derive(Debug, Default)]
    pub(in crate::spool) struct Faults(Mutex<Plan>);

    #[derive(Debug, Default)]
    pub(in crate::spool) struct Plan {
        /// Bytes that still fit on the disk; `None` is no limit.
        pub space: Option<usize>,
        /// How many syncs to fail.
        pub failing_syncs: u32,
        /// How often a full disk refused a write.
        pub refused: u32,
        /// How many syncs were asked for.
        pub syncs: u32,
    }

    impl Faults {
        pub(in crate::spool) fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
            self.0.lock().unwrap()
        }

        pub(super) fn write(&self, file: &mut File, slices: &[IoSlice<'_>]) -> io::Result<()> {
            let mut plan = self.plan();
            let Some(space) = plan.space else { return Ok(()) };
            let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
            if wanted <= space {
                plan.space = Some(space - wanted);
                return Ok(());
            }
            plan.refused += 1;
            let flat: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            file.write_all(&flat[..space])?;
            Err(io::ErrorKind::StorageFull.into())
        }

        pub(super) fn sync(&self) -> io::Result<()> {
            let mut plan = self.plan();
            plan.syncs += 1;
            if plan.failing_syncs == 0 {
                return Ok(());
            }
            plan.failing_syncs -= 1;
            Err(io::Error::other("injected"))
        }
    }
}
