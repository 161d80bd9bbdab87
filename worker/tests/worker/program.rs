//! The demo program as a process.

use std::process::{Output, Stdio};

use reframe_proto::v1::DescribeRequest;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_proto::v1::from_worker::Message;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::client::{Session, grey, soon};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reframe-worker"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    // The environment configures the program; only what a test says may.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REFRAME_")) {
        command.env_remove(name);
    }
    command
}

async fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = soon(command.output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn signal(name: &str, child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
    assert!(soon(sent).await.unwrap().success());
}

/// Starts `serve` on a free port and reads the address that it announces.
async fn serve(demo: &str) -> (Child, String) {
    serve_with(demo, &[]).await
}

async fn serve_with(demo: &str, options: &[&str]) -> (Child, String) {
    let mut command =
        program(&[&["serve", "--demo", demo, "--listen", "127.0.0.1:0"], options].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    let address = line
        .strip_prefix("reframe-worker listening on ")
        .unwrap_or_else(|| panic!("announced {line:?}"));
    (child, address.to_owned())
}

#[tokio::test]
async fn serves_a_demo_until_it_is_told_to_end() {
    for (demo, signal_name, skip_frames) in
        [("flip", "TERM", false), ("skip-frames", "INT", true), ("detect-objects", "TERM", true)]
    {
        let (mut child, address) = serve(demo).await;
        let channel = soon(Endpoint::from_shared(address).unwrap().connect()).await.unwrap();
        let mut client = FrameWorkerClient::new(channel);
        let spec = soon(client.describe(DescribeRequest::default())).await.unwrap().into_inner();
        assert_eq!((spec.name.as_str(), spec.capacity, spec.skip_frames), (demo, 16, skip_frames));
        let mut session = Session::open(&client).await.unwrap();
        session.process(0).await.unwrap();

        signal(signal_name, &child).await;
        // It goes on until its gateway has moved it, which takes no notice of the default grace.
        refused(&client).await;
        session.process(1).await.unwrap();
        assert_eq!(session.close().await, []);
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0), "{demo}");
    }
}

/// For an orchestrator, whose probes have no certificate.
#[tokio::test]
async fn probes_have_a_port_of_their_own_for_the_health_alone() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_child, _) = serve_with("flip", &["--health", &free.to_string()]).await;
    let probes = Endpoint::from_shared(format!("http://{free}")).unwrap();
    let channel = soon(async {
        loop {
            // It is announced at its other port a moment earlier.
            if let Ok(channel) = probes.connect().await {
                return channel;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    for service in ["", "readiness"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = soon(HealthClient::new(channel.clone()).check(request)).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service:?}");
    }
    let described = FrameWorkerClient::new(channel).describe(DescribeRequest::default());
    let refused = soon(described).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
}

#[tokio::test]
async fn a_wrong_address_for_probes_is_named() {
    let mut command = program(&["serve", "--demo", "flip", "--health", "50052"]);
    let (code, _, log) = output(&mut command).await;
    assert_eq!(code, Some(64), "{log}");
    assert!(log.contains("--health: `50052` is not an address like 0.0.0.0:50052"), "{log}");
}

/// Waits until the worker takes no session any more.
async fn refused(client: &FrameWorkerClient<Channel>) {
    let refused = async {
        loop {
            if let Err(status) = Session::open(client).await {
                assert_eq!(status.code(), Code::Unavailable);
                return;
            }
        }
    };
    soon(refused).await;
}

#[tokio::test]
async fn a_grace_of_nothing_ends_sessions_and_a_second_signal_the_program() {
    for (grace, code) in [("0", 0), ("3600", 1)] {
        let (mut child, address) = serve_with("flip", &["--grace", grace]).await;
        let channel = soon(Endpoint::from_shared(address).unwrap().connect()).await.unwrap();
        let client = FrameWorkerClient::new(channel);
        let mut session = Session::open(&client).await.unwrap();
        session.process(0).await.unwrap();
        signal("TERM", &child).await;
        if grace == "0" {
            assert_eq!(session.status().await.code(), Code::Unavailable);
        } else {
            refused(&client).await;
            session.process(1).await.unwrap();
            signal("INT", &child).await;
        }
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(code), "--grace {grace}");
    }
}

#[tokio::test]
async fn the_faulty_demo_survives_its_faults() {
    let (_child, address) = serve("faulty").await;
    let channel = soon(Endpoint::from_shared(address).unwrap().connect()).await.unwrap();
    let client = FrameWorkerClient::new(channel);
    for _ in 0..2 {
        let mut session = Session::open(&client).await.unwrap();
        for count in 1..100 {
            assert_eq!(session.process(count).await.is_err(), count % 10 == 0, "frame {count}");
        }
        session.send(grey(100, 4, 2)).await;
        assert!(matches!(
            session.rest().await.as_slice(),
            [Message::Notice(_), Message::EndStream(_)]
        ));
    }
}

#[tokio::test]
async fn every_problem_of_the_configuration_is_listed() {
    let mut command =
        program(&["serve", "--demo", "flop", "--listen", "localhost", "--grace", "1h"]);
    let (code, stdout, stderr) = output(command.env("REFRAME_CAPACITY", "lots")).await;
    assert_eq!((code, stdout.as_str()), (Some(64), ""));
    let lines: Vec<&str> = stderr.lines().collect();
    let expected = [
        "error: the configuration is wrong",
        "  --demo: `flop` is not one of detection, detect-objects, generation, skip-frames, \
         output-fps, flip, sink",
        "  --capacity: `lots` is not a number from 1 to 1024",
        "  --listen: `localhost` is not an address like 127.0.0.1:50051 or unix:/run/worker.sock",
        "  --grace: `1h` is not a number from 0 to 3600",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_worker_of_several_streams_must_be_told_which() {
    let (code, _, stderr) = output(&mut program(&["serve"])).await;
    assert_eq!(code, Some(64));
    assert!(
        stderr.contains("  --stream: a worker serves one stream, name it: detection, "),
        "{stderr}"
    );
}

#[tokio::test]
async fn usage_errors_exit_like_wrong_configuration() {
    for arguments in [&[][..], &["serve", "--port", "1"], &["work"]] {
        let (code, stdout, stderr) = output(&mut program(arguments)).await;
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(stderr.contains("Usage: reframe-worker"), "{stderr}");
    }
}

#[tokio::test]
async fn help_says_defaults_units_and_variables() {
    let (code, help, _) = output(&mut program(&["serve", "--help"])).await;
    assert_eq!(code, Some(0));
    for part in [
        "[default: 127.0.0.1:50051]",
        "[env: REFRAME_LISTEN=]",
        "[1 to 1024; default: 16, or fewer",
        "[default: 30]",
        "0 to 3600",
        "skip-frames, ",
    ] {
        assert!(help.contains(part), "no {part:?} in {help}");
    }
}

#[tokio::test]
async fn a_taken_port_is_a_failure_not_a_usage_error() {
    let (_child, address) = serve("flip").await;
    let address = address.strip_prefix("http://").unwrap();
    let (code, _, stderr) =
        output(&mut program(&["serve", "--demo", "flip", "--listen", address])).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.lines().any(|line| line.starts_with("error: ") && line.contains("in use")),
        "{stderr}"
    );
}
