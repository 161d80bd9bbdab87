//! The interpreter's end, and what a long life leaves behind.

use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_proto::v1::{Frame as Wire, Open, ToWorker, from_worker, to_worker};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::*;

/// An interpreter that ends while its threads run Python, and others wait for its lock.
#[test]
fn a_program_under_load_ends_in_order_twenty_of_twenty_times() {
    let program = |parallel: &str| {
        Program::new(
            &format!("load-{parallel}"),
            &format!(
                "import numpy as np\n\
                 from reframe import Stream, VideoStreamHandler\n\
                 def work(image):\n    sum(range(20_000))\n    return np.flip(image, axis=0)\n\
                 Stream(VideoStreamHandler(work, parallel={parallel})).ui.launch()\n"
            ),
        )
    };
    let programs = [program("True"), program("False")];
    for round in 0..20 {
        let mut cluster = Cluster::python("test", &[programs[round % 2].path()]);
        let mut peers = ["one", "two"].map(|id| connect(&cluster, id, Video::Live(Format::SMALL)));
        peers.iter().for_each(|peer| peer.wait_received(3, PATIENCE));
        if round / 2 % 2 == 0 {
            cluster.gateway.interrupt();
        } else {
            cluster.gateway.terminate();
        }
        let status = cluster.gateway.exit(PATIENCE);
        let log = cluster.gateway.log();
        assert_eq!(status.and_then(|status| status.code()), Some(0), "round {round}: {log}");
        for word in ["Traceback", "Fatal", "panicked", "abort"] {
            assert!(!log.contains(word), "round {round}: {log}");
        }
        peers.iter_mut().for_each(Peer::vanish);
    }
}

/// Each frame's array, its result and its outputs are let go, and pictures come from the pool.
#[test]
fn a_hundred_thousand_frames_leave_nothing_behind() {
    const FRAMES: u64 = 100_000;
    /// By then every cache and every pool is full.
    const BEGUN: u64 = 5_000;
    let program = Program::new(
        "memory",
        "import sys\n\
         import numpy as np\n\
         from reframe import AdditionalOutputs, Number, Stream, VideoStreamHandler\n\
         kept = np.zeros((48, 64, 3), np.uint8)\n\
         def flip(image):\n    \
             told = AdditionalOutputs(sys.getallocatedblocks(), sys.getrefcount(kept))\n    \
             return np.flip(image, axis=0), told\n\
         handler = VideoStreamHandler(flip)\n\
         Stream(handler, additional_outputs=[Number(), Number()]).ui.launch()\n",
    );
    let mut command = python::command("test");
    command.args(["-m", "reframe", "serve", program.path(), "--listen", "127.0.0.1:0"]);
    let mut worker = Process::spawn("python", command);
    let url = worker.announced("reframe-worker listening on ");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime.expect("a runtime").block_on(async {
        let endpoint = Endpoint::from_shared(url).expect("an address");
        let channel = endpoint.connect().await.expect("the worker answers");
        let mut client = FrameWorkerClient::new(channel);
        let (send, messages) = mpsc::channel(4);
        let say = |message| ToWorker { message: Some(message) };
        let open = Open { session_id: "memory".into(), ..Open::default() };
        send.send(say(to_worker::Message::Open(open))).await.expect("room");
        let session = client.session(ReceiverStream::new(messages)).await.expect("a session");
        let mut replies = session.into_inner();
        let data = bytes::Bytes::from(vec![128; reframe_proto::i420_len(64, 48)]);
        let (mut next, mut answered, mut marks) = (0, 0, Vec::new());
        while answered < FRAMES {
            let reply = replies.message().await.expect("no error").expect("a message");
            let credits = match reply.message.expect("not empty") {
                from_worker::Message::Opened(opened) => opened.credits,
                from_worker::Message::Result(result) => {
                    answered += 1;
                    if [BEGUN, FRAMES].contains(&answered) {
                        let outputs = result.outputs.iter();
                        let mut told: Vec<u64> =
                            outputs.map(|json| json.parse().expect("a number")).collect();
                        told.push(worker.rss_bytes() / 1024);
                        marks.push(told);
                    }
                    1
                }
                other => panic!("{other:?}"),
            };
            for _ in 0..credits {
                let data = data.clone();
                let frame = Wire { seq: next, width: 64, height: 48, data, ..Wire::default() };
                next += 1;
                send.send(say(to_worker::Message::Frame(frame))).await.expect("room");
            }
        }
        marks
    });
    let [begun, now] = [&told[0], &told[1]].map(|told| [told[0], told[1], told[2]]);
    let ([blocks, references, kib], [blocks_now, references_now, kib_now]) = (begun, now);
    assert_eq!(references_now, references);
    assert!(blocks_now < blocks + 200, "{blocks} blocks, then {blocks_now}");
    assert!(kib_now < kib + 8 * 1024, "{kib} KiB, then {kib_now}");
}
