//! What is wrong with the shared store now: a log line for each change, a gauge, a counter of
//! errors.

use std::collections::HashMap;
use std::io;

use ::redis::{ErrorKind, RedisError};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::keys::family;
use super::store::ANSWER_WITHIN;
use crate::telemetry;

/// What was asked of the store: the values of the label `operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Connect,
    Claim,
    Renew,
    Release,
    Locate,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("no answer within {ANSWER_WITHIN:?}")]
    Timeout,
    #[error(
        "it refuses the name or the password in --redis, --redis-user or --redis-password-file ({0})"
    )]
    Login(RedisError),
    #[error(
        "there is data of another program under its keys: remove that, or name a database of our \
         own in --redis"
    )]
    ForeignData(#[source] RedisError),
    #[error("the password in --redis-password-file cannot be read ({0})")]
    Password(io::Error),
    #[error(
        "a session's gateway has an address that no gateway has: somebody else writes under our \
         keys"
    )]
    ForeignOwner,
    #[error(
        "its user may not do what is needed ({0}): see the rights in docs/operations.md, \
         section Redis"
    )]
    Rights(RedisError),
    #[error(
        "it takes no writes, because it cannot save its data (MISCONF; its own log has why): free \
         its disk, or switch saving off, which Reframe does not need"
    )]
    Unsaved,
    #[error(
        "its certificate is refused ({0}): name the CA of it in --redis-ca, and in --redis the \
         name that is in it"
    )]
    Certificate(RedisError),
    #[error("{0}")]
    Other(RedisError),
}

/// What is wrong, by operation and stream (empty where it is no stream's).
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<HashMap<(Operation, String), String>>);

impl Operation {
    fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Claim => "claim",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Locate => "locate",
        }
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let login = error.kind() == ErrorKind::AuthenticationFailed;
        if login || matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) {
            return Self::Login(error);
        }
        let text = error.to_string();
        // The library passes TLS on as text.
        if text.contains("invalid peer certificate") {
            return Self::Certificate(error);
        }
        // Redis has it in the text where it is a script's command that failed.
        let is = |code: &str| error.code() == Some(code) || text.contains(code);
        if is("WRONGTYPE") {
            Self::ForeignData(error)
        } else if is("NOPERM") || text.contains("can't run this command or subcommand") {
            Self::Rights(error)
        } else if is("MISCONF") {
            Self::Unsaved
        } else {
            Self::Other(error)
        }
    }
}

impl StoreError {
    /// True when another connection may do better.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Timeout | Self::Login(_) | Self::Password(_) | Self::Certificate(_) => true,
            Self::ForeignData(_) | Self::ForeignOwner | Self::Rights(_) | Self::Unsaved => false,
            // The latter: it has become a replica, or is just starting.
            Self::Other(error) => {
                matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
                    || matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN"))
            }
        }
    }
}

impl Health {
    pub(super) fn failed(&self, operation: Operation, stream: &str, error: &StoreError) {
        telemetry::placement_error(operation.label());
        // Whichever operation met it, it is a problem of the connection.
        let (at, stream) =
            if error.ends_connection() { (Operation::Connect, "") } else { (operation, stream) };
        let text = error.to_string();
        let mut problems = self.0.lock();
        // Every write meets it, and it is logged once.
        let is_known =
            matches!(error, StoreError::Unsaved) && problems.values().any(|known| *known == text);
        let previous = problems.insert((at, stream.to_owned()), text.clone());
        telemetry::placement_up(up(&problems));
        drop(problems);
        if !is_known && previous.as_ref() != Some(&text) {
            let (operation, keys) = (operation.label(), family(stream));
            warn!(operation, keys, error = %text, "Redis does not share sessions and slots; what \
                this gateway knows has to do");
        }
    }

    pub(super) fn did(&self, operation: Operation, stream: &str) {
        self.forget(|at, of, _| at == operation && of == stream);
    }

    /// Everything was renewed but what `failed`; and it `takes_writes`, whoever was refused one.
    pub(super) fn renewed(&self, failed: &[String], takes_writes: bool) {
        let unsaved = StoreError::Unsaved.to_string();
        self.forget(|at, of, problem| {
            let renewed = at == Operation::Renew && !failed.iter().any(|failed| failed == of);
            renewed || takes_writes && problem == unsaved
        });
    }

    fn forget(&self, well: impl Fn(Operation, &str, &str) -> bool) {
        let mut problems = self.0.lock();
        let again: Vec<_> =
            problems.extract_if(|(at, stream), problem| well(*at, stream, problem)).collect();
        telemetry::placement_up(up(&problems));
        let unsaved = StoreError::Unsaved.to_string();
        let mut is_known = problems.values().any(|problem| *problem == unsaved);
        drop(problems);
        for ((operation, stream), problem) in again {
            // Told once, as it was that it is so.
            if problem == unsaved && std::mem::replace(&mut is_known, true) {
                continue;
            }
            info!(
                operation = operation.label(),
                keys = family(&stream),
                "Redis shares sessions and slots again"
            );
        }
    }
}

#[cfg(test)]
impl Health {
    /// Operation, stream and text of everything that is wrong.
    pub(super) fn problems(&self) -> Vec<(Operation, String, String)> {
        self.0
            .lock()
            .iter()
            .map(|((at, stream), text)| (*at, stream.clone(), text.clone()))
            .collect()
    }
}

/// What clients run into one by one does not count: nobody might ask again and see it well.
fn up(problems: &HashMap<(Operation, String), String>) -> bool {
    !problems
        .keys()
        .any(|(operation, _)| matches!(operation, Operation::Connect | Operation::Renew))
}
