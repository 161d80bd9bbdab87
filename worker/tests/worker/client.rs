//! A worker in this process and a gateway's end of the wire.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_proto::v1::from_worker::Message;
use reframe_proto::v1::result::Outcome;
use reframe_proto::v1::{self, FromWorker, ToWorker, to_worker, value};
use reframe_proto::{MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES, i420_len};
use reframe_worker::{ServeError, Server, Stream};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// The longest wait for anything: a slow machine's, not an expectation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let waited: Result<T, Elapsed> = timeout(PATIENCE, what).await;
    waited.expect("it did not happen in time")
}

/// A worker that serves in this process.
pub(crate) struct Worker {
    connect: mpsc::Sender<DuplexStream>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
}

impl Worker {
    pub(crate) fn start(stream: Stream, capacity: u32) -> Self {
        Self::start_with(Server::new(stream, capacity))
    }

    pub(crate) fn start_with(server: Server) -> Self {
        let (connect, connections) = mpsc::channel(1);
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(server.serve(connections, shutdown.clone().cancelled_owned()));
        Self { connect, shutdown, served }
    }

    /// A connection of its own, as another gateway would have.
    pub(crate) async fn connect(&self) -> Channel {
        let connect = self.connect.clone();
        let connector = tower::service_fn(move |_| {
            let connect = connect.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(1 << 20);
                connect.send(theirs).await.map_err(io::Error::other)?;
                io::Result::Ok(TokioIo::new(ours))
            }
        });
        let endpoint =
            Endpoint::from_static("http://worker").initial_stream_window_size(STREAM_WINDOW_BYTES);
        soon(endpoint.connect_with_connector(connector)).await.unwrap()
    }

    pub(crate) async fn client(&self) -> FrameWorkerClient<Channel> {
        let client = FrameWorkerClient::new(self.connect().await);
        // To send what the worker refuses.
        client
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(2 * MAX_MESSAGE_BYTES)
    }
}

/// A session as its gateway has it.
pub(crate) struct Session {
    to_worker: mpsc::Sender<ToWorker>,
    from_worker: Streaming<FromWorker>,
    pub(crate) credits: u32,
}

impl Session {
    /// Opens a session and reads `Opened`.
    pub(crate) async fn open(client: &FrameWorkerClient<Channel>) -> Result<Self, Status> {
        Self::open_with(client, HashMap::new()).await
    }

    /// Opens a session for a client that has set inputs already.
    pub(crate) async fn open_with(
        client: &FrameWorkerClient<Channel>,
        inputs: HashMap<String, v1::Value>,
    ) -> Result<Self, Status> {
        let open = v1::Open { session_id: "test session".into(), inputs, ..Default::default() };
        let mut session =
            Self::call(client, ToWorker { message: Some(to_worker::Message::Open(open)) }).await?;
        match session.next().await? {
            Some(Message::Opened(opened)) => session.credits = opened.credits,
            other => panic!("the first message was {other:?}"),
        }
        Ok(session)
    }

    /// Opens a session whose handler is not expected to start.
    pub(crate) async fn begin(client: &FrameWorkerClient<Channel>) -> Result<Self, Status> {
        Self::call(
            client,
            ToWorker { message: Some(to_worker::Message::Open(v1::Open::default())) },
        )
        .await
    }

    /// Begins a call with any message.
    pub(crate) async fn call(
        client: &FrameWorkerClient<Channel>,
        first: ToWorker,
    ) -> Result<Self, Status> {
        let (to_worker, requests) = mpsc::channel(16);
        to_worker.send(first).await.unwrap();
        let response = soon(client.clone().session(ReceiverStream::new(requests))).await?;
        Ok(Self { to_worker, from_worker: response.into_inner(), credits: 0 })
    }

    pub(crate) async fn send(&self, frame: v1::Frame) {
        self.send_raw(ToWorker { message: Some(to_worker::Message::Frame(frame)) }).await;
    }

    pub(crate) async fn send_raw(&self, message: ToWorker) {
        soon(self.to_worker.send(message)).await.unwrap();
    }

    /// The next message, or `None` at the end of the call.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, Status> {
        Ok(soon(self.from_worker.message())
            .await?
            .map(|message| message.message.expect("no message is empty")))
    }

    /// Sets inputs, all at once.
    pub(crate) async fn set(&self, values: HashMap<String, v1::Value>) {
        self.send_raw(ToWorker {
            message: Some(to_worker::Message::Inputs(v1::Inputs { values })),
        })
        .await;
    }

    /// The next message, which must be a result.
    pub(crate) async fn answer(&mut self) -> Answer {
        match self.next().await {
            Ok(Some(Message::Result(v1::Result {
                seq, outcome: Some(outcome), outputs, ..
            }))) => {
                let outcome = match outcome {
                    Outcome::Picture(picture) => Ok(Some(picture)),
                    Outcome::NoPicture(_) => Ok(None),
                    Outcome::Error(error) => Err(error),
                    Outcome::Superseded(_) => Err("superseded".to_owned()),
                };
                let outputs_json = if outputs.is_empty() {
                    String::new()
                } else {
                    format!("[{}]", outputs.join(","))
                };
                Answer { seq, outcome, outputs_json }
            }
            other => panic!("not a result: {other:?}"),
        }
    }

    /// The next message, which must be a result with a picture or an error, and its number.
    pub(crate) async fn result(&mut self) -> (u64, Result<v1::Picture, String>) {
        let Answer { seq, outcome, .. } = self.answer().await;
        (seq, outcome.map(|picture| picture.expect("a picture")))
    }

    /// Sends a frame and waits for its result.
    pub(crate) async fn ask(&mut self, seq: u64) -> Answer {
        self.send(grey(seq, 4, 2)).await;
        let answer = self.answer().await;
        assert_eq!(answer.seq, seq);
        answer
    }

    /// Asks the generator for an item.
    pub(crate) async fn pull(&self, seq: u64) {
        self.send_raw(ToWorker {
            message: Some(to_worker::Message::Pull(v1::Pull { seq, ..Default::default() })),
        })
        .await;
    }

    /// Sends a frame and waits for its picture or error.
    pub(crate) async fn process(&mut self, seq: u64) -> Result<v1::Picture, String> {
        self.ask(seq).await.outcome.map(|picture| picture.expect("a picture"))
    }

    /// The status that the call ends with. Messages before it do not count.
    pub(crate) async fn status(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the call ended well"),
                Err(status) => return status,
            }
        }
    }

    /// The worker's end of the session, which must be next and last: its message, and whether it
    /// failed.
    pub(crate) async fn end(&mut self) -> (String, bool) {
        match self.rest().await.as_slice() {
            [Message::EndStream(end)] => (end.message.clone(), end.failed),
            other => panic!("not just an end: {other:?}"),
        }
    }

    /// Half-closes, as a gateway does whose browser left, and reads to the end.
    pub(crate) async fn close(mut self) -> Vec<Message> {
        self.to_worker = mpsc::channel(1).0;
        self.rest().await
    }

    /// Reads until the worker ends the call.
    pub(crate) async fn rest(&mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        while let Some(message) = self.next().await.unwrap() {
            rest.push(message);
        }
        rest
    }
}

/// What became of a frame or pull.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) seq: u64,
    pub(crate) outcome: Result<Option<v1::Picture>, String>,
    pub(crate) outputs_json: String,
}

/// Inputs that are numbers.
pub(crate) fn numbers(values: &[(&str, f64)]) -> HashMap<String, v1::Value> {
    let number = |number| v1::Value { kind: Some(value::Kind::Number(number)) };
    values.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect()
}

/// A frame without colour, whose rows count up from its number: row `n` has the value `seq + n`, in
/// steps of 20.
pub(crate) fn grey(seq: u64, width: u32, height: u32) -> v1::Frame {
    let mut data = vec![128; i420_len(width, height)];
    for (row, luma) in data.chunks_exact_mut(width as usize).take(height as usize).enumerate() {
        luma.fill(luma_of(seq, row));
    }
    v1::Frame {
        seq,
        capture_time_us: seq * 1000,
        width,
        height,
        data: data.into(),
        ..Default::default()
    }
}

/// The brightness of a row of [`grey`]: within limited range.
pub(crate) fn luma_of(seq: u64, row: usize) -> u8 {
    u8::try_from(20 + (seq + row as u64) % 10 * 20).unwrap()
}
