//! Frames appended to a file or to standard output, for looking at them.
//!
//! A file confirms after `fsync`, standard output after the write. It does not rotate its file.

use std::future;
use std::io::{self, SeekFrom};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, Stdout};

use super::{Cursor, SendError, Status};

/// Where to write.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file, made when missing, or `-` for standard output.
    pub path: PathBuf,
}

/// An append-only file or standard output.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    output: Option<Output>,
    written: Option<Cursor>,
    unsynced: u64,
    settled: Option<Cursor>,
    torn: bool,
}

#[derive(Debug)]
enum Output {
    File(File),
    Standard(Stdout),
}

impl Writer {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { path: config.path, output: None, written: None, unsynced: 0, settled: None, torn: false }
    }

    /// Writes frames.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub async fn send(&mut self, end: Cursor, frames: &[u8]) -> Result<(), SendError> {
        let result = self.write(end, frames).await;
        self.given(result)
    }

    /// Waits for the sync of what was written.
    ///
    /// # Errors
    /// The sync failed: what was written since the last confirmation may be lost.
    pub async fn confirmed(&mut self) -> Result<Cursor, SendError> {
        if self.settled.is_none() {
            if self.written.is_none() {
                future::pending::<()>().await;
            }
            let result = self.sync().await;
            self.given(result)?;
        }
        match self.settled.take() {
            Some(cursor) => Ok(cursor),
            None => future::pending().await,
        }
    }

    /// See [`super::Sink::settled`].
    pub fn settled(&mut self) -> Option<Cursor> {
        self.settled.take()
    }

    /// Syncs what is written.
    pub async fn finish(&mut self) -> Option<Cursor> {
        let result = self.sync().await;
        self.given(result).ok()?;
        self.settled.take()
    }

    /// See [`super::Sink::status`].
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            connected: self.output.is_some().then(|| self.path.display().to_string()),
            unconfirmed_bytes: self.unsynced,
            confirm: "sync",
            unanswered: false,
        }
    }

    async fn write(&mut self, end: Cursor, frames: &[u8]) -> io::Result<()> {
        if self.output.is_none() || self.torn {
            self.output = None;
            self.output = Some(Output::open(&self.path).await?);
        }
        self.torn = true;
        match &mut self.output {
            Some(Output::File(file)) => file.write_all(frames).await?,
            Some(Output::Standard(stdout)) => {
                stdout.write_all(frames).await?;
                stdout.flush().await?;
            }
            None => {}
        }
        self.torn = false;
        self.written = Some(end);
        self.unsynced += frames.len() as u64;
        // a caller that never rests would otherwise cancel every sync it begins
        if self.unsynced >= SYNC_BYTES { self.sync().await } else { Ok(()) }
    }

    async fn sync(&mut self) -> io::Result<()> {
        if let (Some(Output::File(file)), Some(_)) = (&mut self.output, self.written) {
            file.flush().await?;
            match file.sync_data().await {
                // A pipe or a device has nothing to sync (fsync(2): EINVAL).
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                synced => synced?,
            }
        }
        if let Some(cursor) = self.written.take() {
            self.settled = Some(cursor);
        }
        self.unsynced = 0;
        Ok(())
    }

    fn given<T>(&mut self, result: io::Result<T>) -> Result<T, SendError> {
        result.map_err(|source| {
            self.output = None;
            self.written = None;
            self.unsynced = 0;
            SendError::File { path: self.path.clone(), source }
        })
    }
}

impl Output {
    /// Opens for appending, behind a line end if the last write was torn.
    async fn open(path: &PathBuf) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Standard(tokio::io::stdout()));
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).await?;
        let metadata = file.metadata().await?;
        if metadata.is_file() && metadata.len() > 0 {
            file.seek(SeekFrom::End(-1)).await?;
            if file.read_u8().await? != b'\n' {
                file.write_all(b"\n").await?;
            }
        }
        Ok(Self::File(file))
    }
}

/// How much may be written between syncs.
const SYNC_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(path: PathBuf) -> Writer {
        Writer::new(Config { path })
    }

    #[tokio::test]
    async fn what_is_confirmed_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut sink = writer(path.clone());
        sink.send(Cursor(1), b"one\n").await.unwrap();
        sink.send(Cursor(3), b"two\nthree\n").await.unwrap();
        assert_eq!(sink.status().unconfirmed_bytes, 14);
        assert_eq!(sink.confirmed().await.unwrap(), Cursor(3));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(sink.finish().await, None);
        sink.send(Cursor(4), b"four\n").await.unwrap();
        assert_eq!(sink.finish().await, Some(Cursor(4)));
    }

    #[tokio::test]
    async fn a_torn_last_line_is_ended_before_anything_is_appended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        std::fs::write(&path, "whole\nto").unwrap();
        let mut sink = writer(path.clone());
        sink.send(Cursor(1), b"next\n").await.unwrap();
        sink.confirmed().await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nto\nnext\n");
    }

    #[tokio::test]
    async fn a_caller_that_never_rests_still_gets_confirmations() {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = writer(directory.path().join("out"));
        let megabyte = vec![b'\n'; 1 << 20];
        for number in 1..=8 {
            assert_eq!(sink.settled(), None);
            sink.send(Cursor(number), &megabyte).await.unwrap();
        }
        assert_eq!(sink.settled(), Some(Cursor(8)));
    }

    #[tokio::test]
    async fn an_error_names_the_file_and_may_be_tried_again() {
        let mut sink = writer("/nonexistent/out".into());
        let error = sink.send(Cursor(1), b"one\n").await.unwrap_err();
        assert_eq!(error.to_string(), "write `/nonexistent/out`");
        assert!(error.is_retryable());
    }
}
