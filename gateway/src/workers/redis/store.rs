//! The connection to Redis and what is asked over it.
//!
//! One connection carries everything, in order. Whoever sees it fail ends it for all; until the
//! keeper has another, whose leases are written, nobody waits for Redis.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::health::{Health, StoreError};
use super::{keys, owner};
use crate::config::redis::{RedisStore, read_password};
use crate::media::session_id::SessionId;
use crate::stream::spec::Spec;
use crate::workers::placement::memory::{Lease, Released};
use crate::workers::pool::WorkerHandle;

/// For one answer, and for a connection. A healthy Redis takes a millisecond; an offer waits for
/// two answers at most.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Leases in one script, which holds up everybody else's for as long: about a millisecond.
pub(super) const BATCH: usize = 256;
/// Sets whose members nobody renews vanish after this: those of workers that are gone. Longer than
/// any lease, whoever wrote it.
const KEPT: Duration = Duration::from_secs(600);

const CLAIM: &str = include_str!("claim.lua");
const DISOWN: &str = include_str!("disown.lua");
const RENEW: &str = include_str!("renew.lua");
const RELEASE: &str = include_str!("release.lua");
const USED: &str = include_str!("used.lua");

/// Redis as this gateway uses it.
pub(super) struct Store {
    client: Client,
    /// Its first line is the password, read for each connection.
    password_file: Option<PathBuf>,
    /// The address of our port for other gateways: who we are.
    pub(super) us: SocketAddr,
    /// The same as it is written.
    gateway: String,
    /// Distinguishes our leases from those of all other processes, also of one that had our
    /// address.
    process: String,
    pub(super) lease: Duration,
    pub(super) health: Health,
    /// What claims and requests use; none while Redis is away or does not have our leases yet.
    ready: Mutex<Option<Link>>,
}

/// A connection, as long as it is one.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    pub(super) lost: CancellationToken,
}

/// A script with its keys and arguments. Sent whole: Redis hashes 2 kB in microseconds, and there
/// is no state of "it has the script" to be lost between two messages.
struct Call {
    script: &'static str,
    keys: Vec<String>,
    args: Vec<String>,
}

/// What a claim is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A slot is taken; the lease's number.
    Claim { number: u64 },
    /// No slot is taken. The session is known as ours for `owned`; with `yields`, even if no slot
    /// is free.
    Look { yields: bool, owned: Duration },
}

/// What came of a claim.
pub(super) enum Claimed {
    /// The number of the candidate.
    On(usize),
    /// None of the candidates has a slot.
    None,
    /// The stream has as many sessions as it may.
    Limit,
    /// Another gateway has the session.
    Exists,
}

impl Store {
    pub(super) fn new(
        RedisStore { client, password_file }: RedisStore,
        us: SocketAddr,
        lease: Duration,
    ) -> Self {
        let process = format!("{:016x}", rand::random::<u64>());
        let (gateway, health, ready) = (owner::text(us), Health::default(), Mutex::default());
        Self { client, password_file, us, gateway, process, lease, health, ready }
    }

    /// The connection, if Redis is there and knows our leases.
    pub(super) fn ready(&self) -> Option<Link> {
        let ready = self.ready.lock();
        ready.clone().filter(|link| !link.lost.is_cancelled())
    }

    /// Lets claims and requests use it.
    pub(super) fn open(&self, link: Option<Link>) {
        *self.ready.lock() = link;
    }

    pub(super) async fn connect(&self) -> Result<Link, StoreError> {
        // Our own bound is around everything.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let client = match self.password_file.clone() {
            Some(file) => with_password(&self.client, file).await?,
            None => self.client.clone(),
        };
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection =
            timeout(ANSWER_WITHIN, connecting).await.map_err(|_| StoreError::Timeout)??;
        Ok(Link { connection, lost: CancellationToken::new() })
    }

    /// Asks for nothing: there may be no lease to renew, and a Redis that wants a password lets
    /// everybody connect.
    pub(super) async fn ping(&self, link: &Link) -> Result<(), StoreError> {
        link.within(::redis::cmd("PING").query_async(&mut link.connection.clone())).await
    }

    /// Which of `candidates` takes the session; all are of one stream, which may have `limit`
    /// sessions, and the nearest come first.
    pub(super) async fn claim(
        &self,
        link: &Link,
        purpose: Purpose,
        session: &SessionId,
        candidates: &[&WorkerHandle],
        limit: u32,
    ) -> Result<Claimed, StoreError> {
        let stream = &candidates[0].spec.name;
        let mut call =
            Call::of(CLAIM).key(keys::sessions(stream)).key(keys::session(stream, session));
        let (lease, length) = match purpose {
            Purpose::Claim { number } => (self.name(number), self.lease),
            Purpose::Look { yields: false, owned } => ("look".to_owned(), owned),
            Purpose::Look { yields: true, owned } => ("yields".to_owned(), owned),
        };
        call = call.arg(session.as_str()).arg(lease).arg(length.as_millis()).arg(&self.gateway);
        call = call.arg(limit).arg(KEPT.as_millis());
        for worker in candidates {
            let Spec { instance, capacity, .. } = &*worker.spec;
            call = call.key(keys::slots(stream, instance)).arg(instance).arg(capacity);
            call = call.arg(worker.proximity as u8);
        }
        match link.run::<i64>(call).await? {
            -2 => Ok(Claimed::Exists),
            -1 => Ok(Claimed::Limit),
            0 => Ok(Claimed::None),
            number => Ok(Claimed::On(usize::try_from(number - 1).unwrap_or_default())),
        }
    }

    /// The session is not ours any more, and never had a lease.
    pub(super) async fn disown(
        &self,
        link: &Link,
        session: &SessionId,
        stream: &str,
    ) -> Result<(), StoreError> {
        link.run(Call::of(DISOWN).key(keys::session(stream, session)).arg(&self.gateway)).await
    }

    /// Writes leases, all of one stream.
    pub(super) async fn renew(
        &self,
        link: &Link,
        stream: &str,
        leases: &[(u64, Lease)],
    ) -> Result<(), StoreError> {
        let mut call = Call::of(RENEW).key(keys::sessions(stream));
        call = call.arg(self.lease.as_millis()).arg(&self.gateway).arg(KEPT.as_millis());
        for (number, Lease { session, spec }) in leases {
            call =
                call.key(keys::slots(stream, &spec.instance)).key(keys::session(stream, session));
            call = call.arg(self.name(*number)).arg(session.as_str()).arg(&spec.instance);
        }
        link.run(call).await
    }

    /// Gives leases back, all of one stream.
    pub(super) async fn release(
        &self,
        link: &Link,
        stream: &str,
        released: &[Released],
    ) -> Result<(), StoreError> {
        let mut call = Call::of(RELEASE).key(keys::sessions(stream));
        for Released { number, lease: Lease { session, spec }, left } in released {
            call =
                call.key(keys::slots(stream, &spec.instance)).key(keys::session(stream, session));
            call = call.arg(self.name(*number)).arg(session.as_str());
            call = match left {
                Some((number, instance)) => call.arg(self.name(*number)).arg(instance),
                None => call.arg("").arg(""),
            };
        }
        link.run(call).await
    }

    /// How many slots of these workers are taken.
    pub(super) async fn used(
        &self,
        link: &Link,
        workers: &[WorkerHandle],
    ) -> Result<u32, StoreError> {
        let keys =
            workers.iter().map(|worker| keys::slots(&worker.spec.name, &worker.spec.instance));
        link.run(keys.fold(Call::of(USED), Call::key)).await
    }

    /// The gateway that has the session, whichever stream it is of.
    pub(super) async fn owner(
        &self,
        link: &Link,
        session: &SessionId,
        streams: &[String],
    ) -> Result<Option<SocketAddr>, StoreError> {
        let mut asked = Pipeline::new();
        for stream in streams {
            asked.cmd("HGET").arg(keys::session(stream, session)).arg("gateway");
        }
        let mut connection = link.connection.clone();
        let owners: Vec<Option<String>> = link.within(asked.query_async(&mut connection)).await?;
        let Some(owner) = owners.into_iter().flatten().next() else { return Ok(None) };
        owner::parse(&owner, self.us).map(Some).ok_or(StoreError::ForeignOwner)
    }

    /// A lease's name among those of all gateways.
    fn name(&self, number: u64) -> String {
        format!("{}-{number}", self.process)
    }
}

/// The same Redis, with the password that is in `file` now.
async fn with_password(client: &Client, file: PathBuf) -> Result<Client, StoreError> {
    let reading = tokio::task::spawn_blocking(move || read_password(&file));
    let password = timeout(ANSWER_WITHIN, reading).await.map_err(|_| StoreError::Timeout)?;
    let password = password.map_err(io::Error::other).flatten().map_err(StoreError::Password)?;
    let info = client.get_connection_info().clone();
    let login = info.redis_settings().clone().set_password(password);
    Ok(Client::open(info.set_redis_settings(login))?)
}

impl Call {
    fn of(script: &'static str) -> Self {
        Self { script, keys: Vec::new(), args: Vec::new() }
    }

    fn key(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }

    fn arg(mut self, arg: impl ToString) -> Self {
        self.args.push(arg.to_string());
        self
    }
}

impl Link {
    async fn run<T: FromRedisValue>(
        &self,
        Call { script, keys, args }: Call,
    ) -> Result<T, StoreError> {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(script).arg(keys.len()).arg(keys).arg(args);
        self.within(command.query_async(&mut self.connection.clone())).await
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, StoreError> {
        let answered = timeout(ANSWER_WITHIN, answer).await;
        let answered = answered
            .map_err(|_| StoreError::Timeout)
            .and_then(|answer| answer.map_err(StoreError::from));
        if answered.as_ref().is_err_and(StoreError::ends_connection) {
            self.lost.cancel();
        }
        answered
    }
}
