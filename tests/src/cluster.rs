//! Whole installations of real processes on free ports of the loopback interface.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reframe_proto::exchange::pass;
use reframe_worker::Stream;

use crate::http;
use crate::local::LocalWorker;
use crate::metrics::Metrics;
use crate::process::Process;
use crate::python;
use crate::wait::eventually;

/// From the first announcement until a gateway says it can take a session.
const READY: Duration = Duration::from_secs(30);

/// Of each worker in this process, where a test does not say otherwise: the workers' own default.
const LOCAL_CAPACITY: u32 = 16;

/// A gateway, and the workers it knows. Everything is killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The gateway; in [`Cluster::launch`] the handler runs in it too.
    pub gateway: Process,
    /// Separate workers, in the order of the gateway's list.
    pub workers: Vec<Worker>,
    /// Workers in this process, held because they end when dropped.
    _local: Vec<LocalWorker>,
    /// Of the workers that the gateway knows, whoever holds them.
    urls: Vec<String>,
    page: String,
    admin: String,
}

/// A worker process and its address.
#[derive(Debug)]
pub struct Worker {
    /// The process.
    pub process: Process,
    /// `http://127.0.0.1:PORT` or `unix:PATH`, as it announced it.
    pub url: String,
}

impl Worker {
    /// `reframe-worker serve --demo DEMO` on a free port.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn serve(demo: &str) -> Self {
        Self::serve_with(demo, "127.0.0.1:0", &[])
    }

    /// The same on a Unix socket of its own.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn on_socket(demo: &str) -> Self {
        static SOCKETS: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), SOCKETS.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("reframe-test-{process}-{number}.sock"));
        Self::serve_with(demo, &format!("unix:{}", path.display()), &[])
    }

    /// The same at this address (`ip:port`, `unix:path`), with further options.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn serve_with(demo: &str, listen: &str, options: &[&str]) -> Self {
        let mut process = Process::start(
            "reframe-worker",
            &[&["serve", "--demo", demo, "--listen", listen], options].concat(),
        );
        let url = process.announced("reframe-worker listening on ");
        Self { process, url }
    }
}

impl Drop for Worker {
    /// Killed, it leaves its sockets, unless another worker has them by now.
    fn drop(&mut self) {
        self.process.kill9();
        if let Some(path) =
            self.url.strip_prefix("unix:").filter(|path| UnixStream::connect(path).is_err())
        {
            for path in [path.into(), pass::socket(path.as_ref())] {
                drop(std::fs::remove_file(path));
            }
        }
    }
}

impl Cluster {
    /// `reframe-worker launch --demo DEMO`: gateway and handler in one process.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn launch(demo: &str) -> Self {
        Self::launch_with(demo, &[])
    }

    /// [`Cluster::launch`] with further options.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn launch_with(demo: &str, options: &[&str]) -> Self {
        Self::start("reframe-worker", &[&["launch", "--demo", demo], options].concat(), Vec::new())
    }

    /// `reframe-worker launch`: every stream that the program has for people.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn launch_all() -> Self {
        Self::start("reframe-worker", &["launch"], Vec::new())
    }

    /// A program in Python in one of its environments, by `python PROGRAM` or another command line.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn python(environment: &str, arguments: &[&str]) -> Self {
        let mut command = python::command(environment);
        command.args(arguments);
        // The program calls `launch()` without options.
        let settings = [("HTTP", "127.0.0.1:0"), ("ADMIN", "127.0.0.1:0")];
        let calm = [("BITRATE_MIN", "1000"), ("MAX_LOAD", "100")];
        let variable = |(name, value)| (format!("REFRAME_{name}"), value);
        command.envs(settings.into_iter().chain(calm).map(variable));
        Self::ready(Process::spawn("python", command), Vec::new())
    }

    /// One `reframe-gateway` with `workers` processes of `reframe-worker serve --demo DEMO`.
    ///
    /// # Panics
    /// When one of them does not come up.
    #[must_use]
    pub fn separate(demo: &str, workers: usize) -> Self {
        Self::of((0..workers).map(|_| Worker::serve(demo)).collect())
    }

    /// One `reframe-gateway` that knows `workers`, in this order.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn of(workers: Vec<Worker>) -> Self {
        Self::of_with(workers, &[])
    }

    /// [`Cluster::of`] with further options of the gateway.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn of_with(workers: Vec<Worker>, options: &[&str]) -> Self {
        let urls = workers.iter().map(|worker| worker.url.clone()).collect();
        Self { workers, ..Self::over(urls, options) }
    }

    /// One more `reframe-gateway` over the workers of `other`, started with `options`. The workers
    /// stay `other`'s, and end with it.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn beside(other: &Self, options: &[&str]) -> Self {
        Self::over(other.urls.clone(), options)
    }

    /// One `reframe-gateway` in front of workers in this process, one for each of `streams`.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn local(streams: impl IntoIterator<Item = Stream>) -> Self {
        Self::local_with(streams, &[])
    }

    /// [`Cluster::local`] with further options of the gateway.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn local_with(streams: impl IntoIterator<Item = Stream>, options: &[&str]) -> Self {
        let local: Vec<_> =
            streams.into_iter().map(|stream| LocalWorker::serve(stream, LOCAL_CAPACITY)).collect();
        let urls = local.iter().map(|worker| worker.url().to_owned()).collect();
        Self { _local: local, ..Self::over(urls, options) }
    }

    fn over(urls: Vec<String>, options: &[&str]) -> Self {
        let workers = urls.join(",");
        // For other gateways, where there is a Redis.
        let own = ["--workers", &workers, "--peer", "127.0.0.1:0"];
        Self::start("reframe-gateway", &[&own, options].concat(), urls)
    }

    fn start(binary: &str, args: &[&str], urls: Vec<String>) -> Self {
        let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        // A machine that builds beside the tests delays packets as a full network would. Where that
        // is not the question it shall not cost pictures: this is enough for 720p.
        let calm: &[&str] =
            if args.contains(&"--bitrate-min") { &[] } else { &["--bitrate-min", "1000"] };
        // Nor sessions.
        let tireless: &[&str] =
            if args.contains(&"--max-load") { &[] } else { &["--max-load", "100"] };
        let gateway = Process::start(binary, &[args, &ports, calm, tireless].concat());
        Self::ready(gateway, urls)
    }

    /// As soon as it serves.
    fn ready(mut gateway: Process, urls: Vec<String>) -> Self {
        let page = gateway.announced("page ").trim_end_matches('/').to_owned();
        let admin = gateway.announced("admin ").trim_end_matches('/').to_owned();
        let cluster = Self { gateway, workers: Vec::new(), _local: Vec::new(), urls, page, admin };
        eventually("the gateway is ready", READY, || {
            http::get(&cluster.admin("/readyz"))
                .is_ok_and(|reply| reply.status == 200)
                .then_some(())
        });
        // At least one: the worker of `launch` is not listed here.
        let serving = cluster.urls.len().max(1) as f64;
        eventually("the gateway knows every worker", READY, || {
            (cluster.serving() >= serving).then_some(())
        });
        cluster
    }

    /// The address of `path` (with its leading slash) on the public port.
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.page)
    }

    /// The address of `path` (with its leading slash) on the admin port.
    #[must_use]
    pub fn admin(&self, path: &str) -> String {
        format!("{}{path}", self.admin)
    }

    /// Scrapes `/metrics`.
    ///
    /// # Panics
    /// When the gateway does not answer it with 200.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let reply = http::get(&self.admin("/metrics")).expect("the admin port answers");
        assert_eq!(reply.status, 200, "{}", reply.body);
        Metrics::parse(&reply.body)
    }

    /// The gateway and the separate workers.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.workers.iter().map(|worker| &worker.process).chain([&self.gateway])
    }

    /// The first of the separate workers that has a session, by its index.
    #[must_use]
    pub fn busy_worker(&self) -> Option<usize> {
        let sessions = self.metrics().by("reframe_worker_sessions", "worker");
        self.workers
            .iter()
            .position(|worker| sessions.get(&worker.url).is_some_and(|count| *count > 0.0))
    }

    /// The workers that take sessions now, `reframe_workers_serving`.
    #[must_use]
    pub fn serving(&self) -> f64 {
        self.metrics().sum("reframe_workers_serving", &[])
    }

    /// The sessions that hold a slot now, `reframe_sessions_active`.
    #[must_use]
    pub fn sessions(&self) -> f64 {
        self.metrics().sum("reframe_sessions_active", &[])
    }

    /// Waits until exactly `count` sessions hold a slot.
    ///
    /// # Panics
    /// When that takes longer than `timeout`.
    #[track_caller]
    pub fn wait_for_sessions(&self, count: usize, timeout: Duration) {
        eventually(&format!("{count} sessions"), timeout, || {
            (self.sessions() == count as f64).then_some(())
        });
    }
}
