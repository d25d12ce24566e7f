//! A small TLS sender, to prove a receiver before the program under test is judged by it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::peer::{Peer, address};

/// Sends the bytes and waits for the receiver's end of the connection, which says that it has read them all.
pub fn send(peer: &Peer, port: u16, bytes: &[u8]) {
    send_trusting(peer.certificates.authority.certificate.as_bytes(), port, bytes);
}

/// The same to any receiver, whose authority is given as PEM.
pub fn send_trusting(authority: &[u8], port: u16, bytes: &[u8]) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address(port)).unwrap());
    stream.write_all(bytes).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    // A receiver need not say close_notify itself; its FIN is the receipt.
    let _ = stream.read_to_end(&mut Vec::new());
}
