//! Courses of cameras, sessions and models in virtual time: what a frame waits for batches, and
//! that the core keeps its promises whatever happens around it.
//!
//! # The model
//!
//! - A camera captures at a fixed rate from a random phase. A frame is on its way to the worker for
//!   [`UP`], plus an even share of up to `jitter`, in order. A result, or the news that a frame was
//!   superseded, is on its way back for [`DOWN`].
//! - A gateway sends a frame when it has a credit, which an answer brings back, and then sends the
//!   newest that it has not sent. So a session that is behind has its next frame 3.5 ms after a
//!   result, as new as it was 1.5 ms before that; one that keeps up waits for its camera.
//! - A session's thread does nothing but call the model: the handler takes no time around it. It
//!   has one credit.
//! - Newest wins: the session has [`NEWEST_CREDITS`] credits, so that frames arrive while its
//!   thread is in a call. The newest of them waits at the worker, in the place of older ones. If
//!   the call still waits for the model, its item is superseded, and the thread comes with the
//!   newer frame [`TURN`] later.
//! - A model takes a + b·n for a batch of n. Threads wake at once and the core takes no time.
//!
//! Latency is from the capture of a frame to its result at the worker: the way back to the browser,
//! encoding and decoding are the same for all policies. Frames that are skipped or superseded have
//! none; how many that are shows in the frames per second.
//!
//! What it leaves out: cameras that change their rate, a machine that is short of cores, and time
//! in the handler outside the model, which would make the think time longer and vary more. Model
//! times are exact in the table and vary in the courses.
//!
//! # The witness
//!
//! Keeps its own queue by the rules, without the core's code, and compares at each step.

mod cameras;
mod courses;
mod faults;
mod models;
mod witness;
mod world;

use self::witness::Witness;
use self::world::World;

/// Times of the simulation are microseconds since its start.
type Micros = u64;

const MILLISECOND: Micros = 1_000;
const SECOND: Micros = 1_000_000;
const UP: Micros = 1_500;
const DOWN: Micros = 2_000;
const TURN: Micros = 300;
/// One frame with the model, one that is the newest at the worker, and one on its way there. With
/// two, the frame at the worker could not be replaced while a batch runs, and would be old.
const NEWEST_CREDITS: u32 = 3;
const THIRTY_FPS: Micros = 33_333;

/// What is simulated.
#[derive(Debug, Clone)]
struct Plan {
    /// The interval between frames, for each session.
    cameras: Vec<Micros>,
    /// a and b.
    model: (Micros, Micros),
    max_batch: usize,
    max_wait: Micros,
    replicas: usize,
    newest_wins: bool,
    jitter: Micros,
    /// Sessions come, go, stall and give up; models fail and vary.
    faults: bool,
    /// What happens before it does not count in the report.
    warm_up: Micros,
    end: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Numbers are indices of clients, unless said otherwise.
    Capture(usize),
    Arrive(usize, Picture),
    Credit(usize),
    Enter(usize),
    /// A batch is done, by its number.
    Done(u64),
    Poll,
    /// Something goes wrong with somebody.
    Fault,
}

/// An item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Picture {
    id: u64,
    captured: Micros,
}

/// A session's camera, gateway and thread.
#[derive(Debug)]
struct Client {
    session: u64,
    interval: Micros,
    gone: bool,
    stalled_until: Micros,
    newest: Option<Picture>,
    sent: Option<u64>,
    /// When the last frame sent arrives: frames do not overtake.
    arrives: Micros,
    credits: u32,
    /// The newest frame at the worker that has not been taken.
    inbox: Option<Picture>,
    thread: Thread,
    answered: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    Idle,
    /// It will enter.
    Turning,
    InCall(Picture),
}

/// What the table shows.
#[derive(Debug, Default, Clone, Copy)]
struct Report {
    latency_ms: f64,
    fps: f64,
    /// Of the session that has the fewest.
    least_fps: f64,
    batch: f64,
}
