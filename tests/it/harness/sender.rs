//! A small TLS sender, to prove a receiver before the program under test is judged by it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::peer::{Peer, address};

/// Sends the bytes and waits for the receiver's end of the connection, which says that it has read them all.
pub fn send(peer: &Peer, port: u16, bytes: &[u8]) {
    send_trusting(peer.certificates.authority.certificate.as_bytes(), port, bytes);
}

/// The same to any receiver, whose authority is given as PEM. A connection that breaks says that the receiver has not
/// read it to its end: then all is sent again, on another one.
pub fn send_trusting(authority: &[u8], port: u16, bytes: &[u8]) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    for _ in 0..ATTEMPTS {
        match send_once(&config, port, bytes) {
            // A receiver need not say close_notify itself; its FIN is the receipt.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return,
            Ok(()) => return,
            Err(error) => eprintln!("port {port}: {error}"),
        }
    }
    panic!("port {port}: {ATTEMPTS} connections broke");
}

fn send_once(config: &Arc<ClientConfig>, port: u16, bytes: &[u8]) -> std::io::Result<()> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut socket = TcpStream::connect(address(port))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    // Nothing is read meanwhile: a stream hides what breaks while it writes, and must not be read from then.
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = connection.writer().write(rest)?;
        rest = &rest[n..];
        flush(&mut connection, &mut socket)?;
    }
    connection.send_close_notify();
    flush(&mut connection, &mut socket)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    Stream::new(&mut connection, &mut socket).read_to_end(&mut Vec::new()).map(|_| ())
}

fn flush(connection: &mut ClientConnection, socket: &mut TcpStream) -> std::io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(socket)?;
    }
    Ok(())
}

const ATTEMPTS: usize = 5;
