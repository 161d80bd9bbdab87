//! Machines and networks of our own on this one: named network namespaces, with nftables between
//! them (`ip` and `nft`, as root).

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Of each machine. Nobody else has an address of ours: no second is spent to find that out, in
/// which a router could not ask for its neighbours.
const ROUTER: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
];

/// Namespaces whose names begin with a random prefix. They are deleted by name when this is
/// dropped, also after a panic.
#[derive(Debug)]
pub struct Machines {
    prefix: String,
    names: Vec<String>,
}

/// One end of a cable: the machine, its interface there, and the addresses with their prefixes.
pub type End<'a> = (&'a str, &'a str, &'a [&'a str]);

impl Machines {
    /// Machines without any cable, each with its loopback interface, that forward packets.
    ///
    /// # Panics
    /// Where this is not allowed.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let prefix = format!("reframe-{:08x}-", rand::random::<u32>());
        let mut machines = Self { prefix, names: Vec::new() };
        for name in names {
            let full = machines.full(name);
            run(Command::new("ip").args(["netns", "add", &full]), None);
            machines.names.push(full);
            machines.ip(name, "link set lo up");
            machines.inside(name, || {
                for (setting, value) in ROUTER {
                    fs::write(format!("/proc/sys/net/{setting}"), value).expect("a router");
                }
            });
        }
        machines
    }

    /// Lays a cable between two of them.
    ///
    /// # Panics
    /// Where one of them has such an interface already.
    pub fn cable(&self, a: End<'_>, b: End<'_>) {
        let mut command = Command::new("ip");
        command.args(["link", "add", a.1, "netns", &self.full(a.0), "type", "veth"]);
        command.args(["peer", "name", b.1, "netns", &self.full(b.0)]);
        run(&mut command, None);
        for (machine, interface, addresses) in [a, b] {
            for address in addresses {
                self.ip(machine, &format!("address add {address} dev {interface}"));
            }
            self.ip(machine, &format!("link set {interface} up"));
        }
    }

    /// `ip ARGUMENTS` there.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, machine: &str, arguments: &str) {
        let mut command = Command::new("ip");
        command.args(["-netns", &self.full(machine)]).args(arguments.split(' '));
        run(&mut command, None);
    }

    /// Gives `nft` these rules there.
    ///
    /// # Panics
    /// When it does not take them.
    pub fn nft(&self, machine: &str, rules: &str) {
        run(self.command(machine, &Command::new("nft")).args(["-f", "-"]), Some(rules));
    }

    /// The command, to be run there.
    #[must_use]
    pub fn command(&self, machine: &str, program: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(machine)]);
        command.arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    /// Runs `work` on a thread that is there. So are the threads that it starts, and the sockets
    /// that any of them opens.
    ///
    /// # Panics
    /// When `work` does.
    #[track_caller]
    pub fn inside<T: Send>(&self, machine: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.full(machine));
        let namespace = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let there = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter a namespace");
            work()
        };
        let done = thread::scope(|scope| scope.spawn(there).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            // Without a panic: there may be one already.
            drop(Command::new("ip").args(["netns", "delete", name]).status());
        }
    }
}

#[track_caller]
fn run(command: &mut Command, input: Option<&str>) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.unwrap_or_default().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
