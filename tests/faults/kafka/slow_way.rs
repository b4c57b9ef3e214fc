//! A slow and lossy way to a broker.
//!
//! Owns [`SlowWay`]: a port that the broker advertises as its own, and what happens to the bytes between the two.
//! - I1: what is carried arrives whole and in its order, or its connection ends: TCP makes lost frames late, and what is
//!   behind them too.
//! - I2: what is late, and when a connection ends, is drawn by lot from a seed and the connection's number.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::random_kills::draw;

/// Each way: there and back are 300 ms.
const LATE: Duration = Duration::from_millis(150);

/// One in so many pieces is lost, and sent again when nobody has acknowledged it for so long.
const LOST_ONE_IN: u64 = 20;
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(400);

/// About ten frames of an Ethernet.
const PIECE_BYTES: usize = 15_000;

/// A connection carries so many pieces each way, and some more by lot; then it breaks.
const PIECES_MIN: u64 = 8;
const PIECES_BY_LOT: u64 = 24;

pub struct SlowWay {
    port: u16,
    way: Arc<Way>,
}

struct Way {
    seed: u64,
    broker: OnceLock<SocketAddr>,
    begun: AtomicU64,
    broken: AtomicU64,
    lost: AtomicU64,
}

/// A piece, and when it is there.
type Carried = (Instant, Vec<u8>);

impl SlowWay {
    pub fn by_lot(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (begun, broken, lost) = Default::default();
        let way = Arc::new(Way { seed, broker: OnceLock::new(), begun, broken, lost });
        let carrier = way.clone();
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let way = carrier.clone();
                thread::spawn(move || way.join(client));
            }
        });
        SlowWay { port, way }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it ends.
    pub fn lead_to(&self, broker: &str) {
        self.way.broker.set(broker.parse().unwrap()).unwrap();
    }

    /// How many connections broke so far.
    pub fn broken(&self) -> u64 {
        self.way.broken.load(Ordering::Relaxed)
    }

    /// How many pieces were lost, and came late.
    pub fn lost(&self) -> u64 {
        self.way.lost.load(Ordering::Relaxed)
    }
}

impl Way {
    fn join(self: &Arc<Self>, client: TcpStream) {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let Some(server) = self.broker.get().and_then(|broker| TcpStream::connect(broker).ok()) else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let halves = [(&client, &server), (&server, &client)].map(|(from, to)| {
            let (pieces, carried) = channel();
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || deliver(&carried, to));
            (from, pieces)
        });
        for (half, (from, pieces)) in (0..).zip(halves) {
            let (way, ends) = (self.clone(), [client.try_clone().unwrap(), server.try_clone().unwrap()]);
            thread::spawn(move || {
                if way.carry(from, &pieces, way.seed ^ (2 * number + half)) {
                    way.broken.fetch_add(1, Ordering::Relaxed);
                    ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
                }
            });
        }
    }

    /// Whether it broke; if not, one side has hung up.
    fn carry(&self, mut from: TcpStream, pieces: &Sender<Carried>, mut lot: u64) -> bool {
        let left = PIECES_MIN + draw(&mut lot, PIECES_BY_LOT);
        let mut piece = vec![0; PIECE_BYTES];
        for _ in 0..left {
            let Ok(bytes @ 1..) = from.read(&mut piece) else { return false };
            let mut there = Instant::now() + LATE;
            if draw(&mut lot, LOST_ONE_IN) == 0 {
                self.lost.fetch_add(1, Ordering::Relaxed);
                there += SENT_AGAIN_AFTER;
            }
            if pieces.send((there, piece[..bytes].to_vec())).is_err() {
                return false;
            }
        }
        true
    }
}

/// I1; then nothing more comes.
fn deliver(carried: &Receiver<Carried>, mut to: TcpStream) {
    for (there, piece) in carried {
        thread::sleep(there.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
