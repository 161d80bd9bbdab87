//! A network between two processes, which can be cut: bytes stop, and nobody is told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A TCP relay to one address. Its threads end with the process that has it; a test has few.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    /// Held, so that neither end learns of anything.
    sockets: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// On a free port, to `target`.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let relay = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Nobody there: the connection is closed, as the target's own would be.
                let Ok(far) = TcpStream::connect(target) else { continue };
                shared.join(&near, &far);
                shared.join(&far, &near);
            }
        });
        relay
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes, either way; connections stay open.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn join(self: &Arc<Self>, from: &TcpStream, to: &TcpStream) {
        let clone = |socket: &TcpStream| socket.try_clone().expect("a socket can be cloned");
        let (mut from, mut to, shared) = (clone(from), clone(to), Arc::clone(self));
        self.sockets.lock().expect("nothing panics under it").extend([clone(&from), clone(&to)]);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if shared.cut.load(Ordering::Relaxed) || to.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            if !shared.cut.load(Ordering::Relaxed) {
                // One end has closed: so does the other.
                drop(to.shutdown(std::net::Shutdown::Write));
            }
        });
    }
}
