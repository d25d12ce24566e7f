//! What the kernel knows of a TCP connection: `getsockopt(TCP_INFO)` behind a safe struct.
//!
//! The only `unsafe` of the package: no safe wrapper hands out these fields, and the send window and the
//! acknowledged bytes are what the receipts' cross-check, the estimate and the metrics need.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// A snapshot of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Where the connection stands in its life.
    pub state: State,
    /// Segments sent and not acknowledged.
    pub unacknowledged_segments: u32,
    /// Bytes acknowledged by the peer's kernel, SYN included.
    pub bytes_acknowledged: u64,
    /// Bytes in the send queue that have not been sent yet.
    pub unsent_bytes: u32,
    /// The window the peer offers. `None` before Linux 5.4.
    pub send_window: Option<u32>,
    /// Smoothed round-trip time in microseconds.
    pub round_trip: u32,
}

/// The states of a connection that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Open in both directions.
    Established,
    /// Our FIN is sent and not yet acknowledged.
    FinSent,
    /// Our FIN is acknowledged; the peer has not closed.
    FinAcknowledged,
    /// Both FINs are acknowledged, or the connection was reset: the socket's error tells which.
    Over,
    /// Any other.
    #[default]
    Other,
}

impl TcpInfo {
    /// Asks the kernel.
    ///
    /// # Errors
    /// The descriptor is not a TCP socket.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let mut bytes = [0_u8; LENGTH];
        let mut length = libc::socklen_t::try_from(LENGTH).unwrap_or_default();
        // SAFETY: the descriptor is open for the call (it is borrowed), the kernel writes at most `length` bytes
        // into `bytes`, which is that long, and any bytes are valid there.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self::read(&bytes[..usize::try_from(length).unwrap_or(0).min(LENGTH)]))
    }

    /// Offsets: `struct tcp_info` of linux/tcp.h, which only ever grows at its end.
    fn read(bytes: &[u8]) -> Self {
        Self {
            state: State::of(bytes.first().copied().unwrap_or_default()),
            unacknowledged_segments: u32_at(bytes, 24).unwrap_or_default(),
            round_trip: u32_at(bytes, 68).unwrap_or_default(),
            bytes_acknowledged: u64_at(bytes, 120).unwrap_or_default(),
            unsent_bytes: u32_at(bytes, 144).unwrap_or_default(),
            send_window: u32_at(bytes, 228),
        }
    }
}

impl State {
    /// Numbers: linux/tcp_states.h.
    fn of(number: u8) -> Self {
        match number {
            1 => Self::Established,
            4 | 9 | 11 => Self::FinSent, // FIN_WAIT1, LAST_ACK, CLOSING
            5 => Self::FinAcknowledged,  // FIN_WAIT2
            6 | 7 => Self::Over,         // TIME_WAIT, CLOSE
            _ => Self::Other,
        }
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

/// Up to and including `tcpi_snd_wnd`.
const LENGTH: usize = 232;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_life_of_a_connection_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let open = TcpInfo::of(&near).unwrap();
        assert_eq!(open.state, State::Established);
        assert!(open.send_window.is_some_and(|window| window > 0));

        near.write_all(&[7; 1000]).unwrap();
        far.read_exact(&mut [0; 1000]).unwrap();
        while TcpInfo::of(&near).unwrap().bytes_acknowledged < 1001 {
            std::thread::yield_now();
        }
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(far.read(&mut [0; 1]).unwrap(), 0);
        while TcpInfo::of(&near).unwrap().state != State::FinAcknowledged {
            std::thread::yield_now();
        }
        drop(far);
        assert_eq!(near.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(TcpInfo::of(&near).unwrap().state, State::Over);
        assert!(near.take_error().unwrap().is_none());
    }

    #[test]
    fn a_descriptor_that_is_no_socket_is_an_error() {
        assert!(TcpInfo::of(&tempfile::tempfile().unwrap()).is_err());
    }

    #[test]
    fn an_older_kernel_s_shorter_answer_leaves_the_window_unknown() {
        assert_eq!(TcpInfo::read(&[1; 160]).send_window, None);
        assert_eq!(TcpInfo::read(&[]), TcpInfo::default());
    }
}
