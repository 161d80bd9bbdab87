//! A proxy in front of a gateway that names the person, whatever the client says.

use std::io::{BufRead as _, BufReader, Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Starts one in front of `page`, `http://host:port`, that sets this header; gives its own address.
pub(super) fn reverse_proxy(page: &str, name: &'static str, value: &'static str) -> String {
    let upstream = page.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let upstream = upstream.clone();
            // Browsers open connections and ask nothing on them.
            thread::spawn(move || pass_on(client, &upstream, name, value).ok());
        }
    });
    url
}

/// One request, and what comes back until its end.
fn pass_on(client: TcpStream, upstream: &str, name: &str, value: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    if head.is_empty() {
        return Ok(());
    }
    let ours = ["connection", name];
    let is_ours = |line: &&str| {
        let field = line.split(':').next().unwrap_or_default();
        ours.iter().any(|ours| field.eq_ignore_ascii_case(ours))
    };
    let kept: String =
        head.trim_end().split_inclusive("\r\n").filter(|line| !is_ours(line)).collect();
    let mut gateway = TcpStream::connect(upstream)?;
    let kept = kept.trim_end();
    write!(gateway, "{kept}\r\n{name}: {value}\r\nConnection: close\r\n\r\n")?;
    let mut to_gateway = gateway.try_clone()?;
    thread::spawn(move || copy(&mut reader, &mut to_gateway).ok());
    let mut client = client;
    copy(&mut gateway, &mut client)?;
    client.shutdown(Shutdown::Both)
}
