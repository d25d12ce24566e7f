use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::*;
use crate::certs::Development;

struct World {
    address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl World {
    async fn open(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, 1000).await.unwrap();
        let address = listener.address().unwrap();
        let (sender, arrivals) = mpsc::channel(100);
        let stop = CancellationToken::new();
        let task = tokio::spawn(listener.run(sender, stop.clone()));
        Self { address, arrivals, stop, task }
    }

    /// Everything up to the end of a connection.
    async fn until_closed(&mut self) -> (Vec<Body>, Tally, End) {
        let (mut bodies, mut tally) = (Vec::new(), Tally::default());
        loop {
            let arrival = self.arrivals.recv().await.unwrap();
            tally.count(&arrival);
            match arrival.what {
                What::Message(message) => bodies.push(message.body),
                What::Closed(end) => return (bodies, tally, end),
                What::Opened | What::Skipped(_) => {}
            }
        }
    }
}

fn names(bodies: &[Body]) -> Vec<&str> {
    bodies
        .iter()
        .map(|body| match body {
            Body::Cef(event) => event.name.as_str(),
            Body::Leef(event) => event.event_id.as_str(),
            Body::Other(text) => text.as_str(),
        })
        .collect()
}

const CEF: &str = "<134>1 - - - - - - CEF:0|v|p|1|id|one|5|act=x\n";
const LEEF: &str = "47 <134>1 - - - - - - LEEF:1.0|v|p|1|two|sev=0\ta=b";

#[tokio::test]
async fn a_sender_that_ends_cleanly_gets_its_receipt_after_its_last_message() {
    let mut world = World::open(None).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(format!("{CEF}{LEEF}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    let (bodies, tally, end) = world.until_closed().await;
    assert_eq!(names(&bodies), ["one", "two"]);
    assert_eq!(end, End::Clean);
    assert_eq!((tally.messages, tally.opened, tally.clean, tally.broken), (2, 1, 1, 0));
    assert_eq!(tally.violations.into_iter().collect::<Vec<_>>(), [("`sev` is not 1 to 10".to_owned(), 1)]);
}

#[tokio::test]
async fn a_tls_sender_gets_close_notify_and_the_end_of_the_stream() {
    let made = Development::new(&[]).unwrap();
    let server = &made.server;
    let tls = crate::tls::server_config(server.certificate.as_bytes(), server.key.as_bytes(), None).unwrap();
    let mut world = World::open(Some(tls)).await;
    let mut stream = connect(world.address, &made).await;
    stream.write_all(CEF.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    // A stream without close_notify would end in an error here.
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    let (bodies, _, end) = world.until_closed().await;
    assert_eq!((names(&bodies), end), (vec!["one"], End::Clean));
}

#[tokio::test]
async fn a_frame_that_is_too_long_or_torn_is_reported_and_the_rest_is_read() {
    let mut world = World::open(None).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let long = "x".repeat(1001);
    stream.write_all(format!("1001 {long}{CEF}100 torn").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (bodies, tally, end) = world.until_closed().await;
    assert_eq!((names(&bodies), end), (vec!["one"], End::Torn(8)));
    assert_eq!(tally.violations.keys().collect::<Vec<_>>(), ["message above the length limit"]);
}

#[tokio::test]
async fn a_receiver_that_stops_gives_no_receipt() {
    let mut world = World::open(None).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(CEF.as_bytes()).await.unwrap();
    while !matches!(world.arrivals.recv().await.unwrap().what, What::Message(_)) {}
    world.stop.cancel();
    world.task.await.unwrap();
    assert!(stream.read_to_end(&mut Vec::new()).await.is_err(), "a reset, not an end");
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_does_not_disturb_the_others() {
    let made = Development::new(&[]).unwrap();
    let server = &made.server;
    let tls = crate::tls::server_config(server.certificate.as_bytes(), server.key.as_bytes(), None).unwrap();
    let mut world = World::open(Some(tls)).await;
    let mut stray = TcpStream::connect(world.address).await.unwrap();
    stray.write_all(CEF.as_bytes()).await.unwrap();
    let (_, _, end) = world.until_closed().await;
    assert!(matches!(end, End::Failed(reason) if reason.starts_with("handshake")));
    let mut stream = connect(world.address, &made).await;
    stream.write_all(CEF.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(names(&world.until_closed().await.0), ["one"]);
}

async fn connect(address: SocketAddr, made: &Development) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.authority.certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}
