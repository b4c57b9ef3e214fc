//! Between the binary and a cluster: librdkafka's mock one, or a real one.
//!
//! Owns [`Relay`]: a port for each broker. The mock names no controller, and without one librdkafka asks nobody what a
//! topic is: answers about the cluster get one, and the relay's own ports. Quotas it does not know either: they are
//! kept here, as brokers do it, by an answer that says how long its connection is left alone, and by leaving it alone.
//! Answers to fetches may be emptied on their way, those about the cluster name no broker, as of one that its controller
//! does not count on, and answers of any kind be lost, with their connection. It counts requests: the mock gives the
//! errors that it was told to the next ones of their kind.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchResponse, FindCoordinatorResponse, MetadataResponse, ProduceResponse, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable};

/// One that no test takes away by itself.
const CONTROLLER: i32 = 2;

const NONE: BrokerId = BrokerId(-1);

pub struct Relay {
    pub servers: String,
    wires: Arc<Wires>,
}

struct Wires {
    /// Of the broker, and ours in its place.
    ports: HashMap<i32, i32>,
    throttle_ms: AtomicI32,
    empties_fetches: AtomicBool,
    hides_brokers: AtomicBool,
    /// How many of the next answers of each kind do not arrive.
    loses: Mutex<HashMap<i16, usize>>,
    /// How many requests of each kind there were.
    requests: Mutex<HashMap<i16, usize>>,
}

/// Kind and version of a request, by its number.
type Asked = Mutex<HashMap<i32, (i16, i16)>>;

impl Relay {
    pub fn before(servers: &str) -> Self {
        let brokers: Vec<SocketAddr> = servers.split(',').map(|server| server.parse().unwrap()).collect();
        let listeners: Vec<_> = brokers.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let port = |address: &SocketAddr| i32::from(address.port());
        let ports = brokers.iter().map(port).zip(addresses.iter().map(port)).collect();
        let wires = Arc::new(Wires {
            ports,
            throttle_ms: AtomicI32::new(0),
            empties_fetches: AtomicBool::new(false),
            hides_brokers: AtomicBool::new(false),
            loses: Mutex::default(),
            requests: Mutex::default(),
        });
        for (listener, broker) in listeners.into_iter().zip(brokers) {
            let wires = wires.clone();
            thread::spawn(move || {
                for client in listener.incoming().filter_map(Result::ok) {
                    let wires = wires.clone();
                    thread::spawn(move || wires.join(client, broker));
                }
            });
        }
        let servers: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        Relay { servers: servers.join(","), wires }
    }

    /// A connection that fetches is left alone for so long after each answer.
    pub fn throttle(&self, pause: Duration) {
        self.wires.throttle_ms.store(pause.as_millis() as i32, Ordering::Relaxed);
    }

    /// Answers to fetches have no records.
    pub fn empty_fetches(&self, empty: bool) {
        self.wires.empties_fetches.store(empty, Ordering::Relaxed);
    }

    /// Answers about the cluster name no broker, and no leader.
    pub fn hide_brokers(&self, hide: bool) {
        self.wires.hides_brokers.store(hide, Ordering::Relaxed);
    }

    /// The next answers of a kind do not arrive.
    pub fn lose_answers(&self, kind: i16, count: usize) {
        self.wires.loses.lock().unwrap().insert(kind, count);
    }

    pub fn all_were_lost(&self) -> bool {
        self.wires.loses.lock().unwrap().values().all(|left| *left == 0)
    }

    /// How often clients asked for this so far.
    pub fn requests(&self, kind: i16) -> usize {
        self.wires.requests.lock().unwrap().get(&kind).copied().unwrap_or(0)
    }
}

impl Wires {
    /// Carries both ways until one side hangs up.
    fn join(self: &Arc<Self>, mut client: TcpStream, broker: SocketAddr) {
        let Ok(mut server) = TcpStream::connect(broker) else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let asked = Arc::new(Asked::default());
        let (mut from, mut to, noted) = (client.try_clone().unwrap(), server.try_clone().unwrap(), asked.clone());
        let wires = self.clone();
        thread::spawn(move || {
            while let Some(request) = frame(&mut from) {
                let short = |at: usize| i16::from_be_bytes(request[at..at + 2].try_into().unwrap());
                noted.lock().unwrap().insert(number_of(&request[4..]), (short(0), short(2)));
                *wires.requests.lock().unwrap().entry(short(0)).or_default() += 1;
                if send(&mut to, &request).is_none() {
                    break;
                }
            }
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
        while let Some(answer) = frame(&mut server) {
            let of = asked.lock().unwrap().remove(&number_of(&answer));
            if of.is_some_and(|(kind, _)| self.loses(kind)) {
                break;
            }
            let (answer, pause) = match of {
                Some((kind, version)) if kind == ApiKey::Metadata as i16 => {
                    (rewritten(answer, ApiKey::Metadata, version, |metadata| self.lead_here(metadata)), 0)
                }
                Some((kind, version)) if kind == ApiKey::FindCoordinator as i16 => {
                    (rewritten(answer, ApiKey::FindCoordinator, version, |found| self.coordinate_here(found)), 0)
                }
                Some((kind, version)) if kind == ApiKey::Produce as i16 => {
                    let here = |produced: &mut ProduceResponse| {
                        produced.node_endpoints.iter_mut().for_each(|node| node.port = self.here(node.port));
                    };
                    (rewritten(answer, ApiKey::Produce, version, here), 0)
                }
                Some((kind, version)) if kind == ApiKey::Fetch as i16 => self.throttled(answer, version),
                _ => (answer, 0),
            };
            if send(&mut client, &answer).is_none() {
                break;
            }
            thread::sleep(Duration::from_millis(pause));
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }

    fn loses(&self, kind: i16) -> bool {
        let mut loses = self.loses.lock().unwrap();
        let left = loses.get_mut(&kind).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    fn lead_here(&self, metadata: &mut MetadataResponse) {
        if metadata.brokers.iter().all(|broker| broker.node_id != metadata.controller_id) {
            metadata.controller_id = BrokerId(CONTROLLER);
        }
        for broker in &mut metadata.brokers {
            broker.port = self.here(broker.port);
        }
        if self.hides_brokers.load(Ordering::Relaxed) {
            metadata.brokers.clear();
            metadata.controller_id = NONE;
            metadata.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|it| it.leader_id = NONE);
        }
    }

    /// There is none while brokers are away.
    fn coordinate_here(&self, found: &mut FindCoordinatorResponse) {
        found.port = self.here(found.port);
        found.coordinators.iter_mut().for_each(|coordinator| coordinator.port = self.here(coordinator.port));
    }

    /// Our port in place of a broker's; answers name it also where they say who leads.
    fn here(&self, port: i32) -> i32 {
        self.ports.get(&port).copied().unwrap_or(port)
    }

    fn throttled(&self, answer: Vec<u8>, version: i16) -> (Vec<u8>, u64) {
        let throttle_ms = self.throttle_ms.load(Ordering::Relaxed);
        let empties = self.empties_fetches.load(Ordering::Relaxed);
        let throttled = |fetched: &mut FetchResponse| {
            fetched.throttle_time_ms = throttle_ms;
            if empties {
                fetched.responses.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|it| it.records = None);
            }
            fetched.node_endpoints.iter_mut().for_each(|node| node.port = self.here(node.port));
        };
        (rewritten(answer, ApiKey::Fetch, version, throttled), throttle_ms as u64)
    }
}

fn rewritten<A: Decodable + Encodable>(
    answer: Vec<u8>,
    kind: ApiKey,
    version: i16,
    rewrite: impl FnOnce(&mut A),
) -> Vec<u8> {
    let (mut bytes, header_version) = (Bytes::from(answer), kind.response_header_version(version));
    let header = ResponseHeader::decode(&mut bytes, header_version).unwrap();
    let mut answer = A::decode(&mut bytes, version).unwrap();
    rewrite(&mut answer);
    let mut written = BytesMut::new();
    header.encode(&mut written, header_version).unwrap();
    answer.encode(&mut written, version).unwrap();
    written.to_vec()
}

fn number_of(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// What follows its own length.
fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn send(to: &mut TcpStream, frame: &[u8]) -> Option<()> {
    to.write_all(&[&(frame.len() as u32).to_be_bytes(), frame].concat()).ok()
}
