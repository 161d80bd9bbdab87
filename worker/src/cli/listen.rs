//! Where `serve` listens: an address, or the path of a socket for gateways of this host.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs, io};

use reframe_proto::exchange::pass;
use reframe_tls::is_local;
use tokio::net::UnixListener;

/// The path as the user gave it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = ();

    fn from_str(given: &str) -> Result<Self, ()> {
        match pass::path(given) {
            Some(path) => Ok(Self::Unix(path.into())),
            None => given.parse().map(Self::Tcp).map_err(drop),
        }
    }
}

impl Address {
    /// Beyond this host, with its option.
    pub(super) fn exposed(&self) -> Option<String> {
        match self {
            Self::Tcp(address) if !is_local(&address.ip().to_string()) => {
                Some(format!("--listen {address}"))
            }
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }
}

/// As gateways are given it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The two sockets of a worker at a path: one for calls, and one beside it for memory. Dropping
/// them removes their files.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<Name>);

/// A file name, and the identity of the file that this process created there.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    file: (u64, u64),
}

impl Sockets {
    /// Replaces sockets whose process has ended, and never any other file.
    pub(super) fn bind(path: &Path) -> io::Result<(Self, UnixListener, UnixListener)> {
        let mut ours = Self::default();
        let calls = ours.add(path.to_owned())?;
        let memory = ours.add(pass::socket(path))?;
        Ok((ours, calls, memory))
    }

    fn add(&mut self, path: PathBuf) -> io::Result<UnixListener> {
        clear(&path)?;
        let listener = UnixListener::bind(&path)?;
        let file = file_at(&path)?;
        self.0.push(Name { path, file });
        Ok(listener)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for Name { path, file } in &self.0 {
            // Otherwise the file was removed, and another worker may use the name.
            if file_at(path).is_ok_and(|now| now == *file) {
                fs::remove_file(path).ok();
            }
        }
    }
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Removes a socket on which no process listens.
fn clear(path: &Path) -> io::Result<()> {
    let left = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let dead = || {
        UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    // `bind` refuses any other file: `AddrInUse`.
    if left && dead() { fs::remove_file(path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_an_absolute_path() {
        let tcp = Ok(Address::Tcp(([127, 0, 0, 1], 50051).into()));
        let unix = || Ok(Address::Unix("/run/worker.sock".into()));
        for (given, expected) in [
            ("127.0.0.1:50051", tcp),
            ("unix:/run/worker.sock", unix()),
            ("unix:///run/worker.sock", unix()),
            ("unix:run/worker.sock", Err(())),
            ("unix:", Err(())),
            ("unix:/run/", Err(())),
            ("/run/worker.sock", Err(())),
            ("localhost:50051", Err(())),
        ] {
            assert_eq!(given.parse(), expected, "{given}");
        }
        assert_eq!(unix().unwrap().to_string(), "unix:/run/worker.sock");
    }

    #[test]
    fn only_a_network_is_beyond_this_host() {
        let exposed = |given: &str| given.parse::<Address>().unwrap().exposed();
        assert_eq!(exposed("0.0.0.0:50051").as_deref(), Some("--listen 0.0.0.0:50051"));
        assert_eq!(exposed("[::1]:50051"), None);
        assert_eq!(exposed("unix:/run/worker.sock"), None);
    }

    #[tokio::test]
    async fn the_dead_make_room_and_the_living_do_not() {
        let folder = std::env::temp_dir().join(format!("reframe-listen-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("worker.sock");
        // As of a process that was killed: the names stay, and nobody listens.
        drop((
            UnixListener::bind(&path).unwrap(),
            UnixListener::bind(pass::socket(&path)).unwrap(),
        ));
        let (sockets, ..) = Sockets::bind(&path)
            .map(|(sockets, calls, memory)| (sockets, (calls, memory)))
            .unwrap();
        drop(sockets);
        assert!(!path.exists() && !pass::socket(&path).exists());

        let (_sockets, _calls, _memory) = Sockets::bind(&path).unwrap();
        assert_eq!(Sockets::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists() && pass::socket(&path).exists(), "whoever lives keeps its names");
        let file = folder.join("file");
        fs::write(&file, "somebody's").unwrap();
        assert_eq!(Sockets::bind(&file).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(file.exists());
        drop((_sockets, _calls, _memory));
        // Somebody's file beside it stays, and so does another worker's socket at a name that was
        // ours.
        fs::write(pass::socket(&path), "somebody's").unwrap();
        assert_eq!(Sockets::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(!path.exists() && pass::socket(&path).exists());
        fs::remove_file(pass::socket(&path)).unwrap();
        let old = Sockets::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let new = UnixListener::bind(&path).unwrap();
        drop(old);
        assert!(path.exists() && !pass::socket(&path).exists());
        drop(new);
        fs::remove_dir_all(folder).unwrap();
    }
}
