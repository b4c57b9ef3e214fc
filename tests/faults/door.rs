//! An address of the tests' own, which leads to a server, to another one, to an answer, or nowhere.
//!
//! Owns [`Door`].
//! - I1: whoever has come in is put out when that changes: a connection that is kept open says nothing about what was before.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// While it is shut, whoever comes is turned away.
#[derive(Debug)]
pub struct Door {
    port: u16,
    path: &'static str,
    room: Arc<Mutex<Room>>,
}

/// What is behind it.
#[derive(Debug)]
struct Room {
    open: bool,
    server: u16,
    /// Said to whoever comes, in place of the server.
    answer: Option<String>,
    inside: Vec<TcpStream>,
}

impl Door {
    /// To a server of this machine, whose pages are below a path.
    pub fn to(server: u16, path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let room = Arc::new(Mutex::new(Room { open: true, server, answer: None, inside: Vec::new() }));
        let behind = room.clone();
        std::thread::spawn(move || {
            listener.incoming().filter_map(Result::ok).for_each(|stream| enter(stream, &behind))
        });
        Door { port, path, room }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    pub fn set(&self, open: bool) {
        self.change(|room| room.open = open);
    }

    /// From now on to another server.
    pub fn lead_to(&self, server: u16) {
        self.change(|room| room.server = server);
    }

    /// Whoever comes gets this, until it is taken back.
    pub fn answer(&self, answer: Option<(&str, &str)>) {
        let whole = |(status, body): (&str, &str)| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        self.change(|room| room.answer = answer.map(whole));
    }

    pub fn answer_404(&self, body: Option<&str>) {
        self.answer(body.map(|body| ("404 Not Found", body)));
    }

    /// I1.
    fn change(&self, change: impl FnOnce(&mut Room)) {
        let mut room = lock(&self.room);
        change(&mut room);
        for stream in room.inside.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enter(outer: TcpStream, room: &Mutex<Room>) {
    let mut room = lock(room);
    if !room.open {
        return;
    }
    if let Some(answer) = room.answer.clone() {
        std::thread::spawn(move || turn_away(outer, &answer));
        return;
    }
    let Ok(inner) = TcpStream::connect(("127.0.0.1", room.server)) else { return };
    room.inside.push(outer.try_clone().unwrap());
    for (mut from, mut to) in [(outer.try_clone().unwrap(), inner.try_clone().unwrap()), (inner, outer)] {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

/// Reads one request, and answers with this.
fn turn_away(mut stream: TcpStream, answer: &str) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        request.extend(byte);
    }
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Both);
}
