//! A TLS receiver that counts frames and does nothing else. It runs as a process of its own, so that its work is
//! not counted with a sender's.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Listens on a free port with the server certificate in `certificates`, prints the port, then each time it has
/// changed the number of frames received.
pub fn run(certificates: &Path) -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("a bound socket").port());
    let config = Arc::new(server_config(certificates));
    let count = Arc::new(AtomicU64::new(0));
    let reported = count.clone();
    std::thread::spawn(move || report(&reported));
    loop {
        let Ok((stream, _)) = listener.accept() else { continue };
        let (config, count) = (config.clone(), count.clone());
        std::thread::spawn(move || receive(stream, config, &count));
    }
}

fn server_config(certificates: &Path) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(certificates.join("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(certificates.join("server.key")).expect("its key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key that fits its certificate")
}

/// Reads to the end of the connection and ends it cleanly, which is the sender's receipt.
fn receive(stream: TcpStream, config: Arc<ServerConfig>, count: &AtomicU64) {
    let Ok(connection) = ServerConnection::new(config) else { return };
    let mut stream = StreamOwned::new(connection, stream);
    let mut buffer = vec![0; 256 * 1024];
    let mut frames = Frames::default();
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        count.fetch_add(frames.count(&buffer[..n]), Ordering::Relaxed);
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
    let _ = stream.sock.shutdown(Shutdown::Write);
}

/// Octet counting (RFC 6587 §3.4.1), across the borders of reads.
#[derive(Default)]
struct Frames {
    /// Bytes of the current frame that are still to come.
    left: usize,
    /// Digits read of the next length.
    length: usize,
}

impl Frames {
    /// How many frames end in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let n = self.left.min(bytes.len());
                self.left -= n;
                bytes = &bytes[n..];
                ended += u64::from(self.left == 0);
                continue;
            }
            match byte {
                b'0'..=b'9' => self.length = self.length * 10 + usize::from(byte - b'0'),
                b' ' => self.left = std::mem::take(&mut self.length),
                _ => {}
            }
            bytes = rest;
        }
        ended
    }
}

fn report(count: &AtomicU64) -> ! {
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = count.load(Ordering::Relaxed);
        if now != last {
            println!("{now}");
            last = now;
        }
    }
}
