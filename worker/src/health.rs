//! Whether a worker can serve, as far as the author's code is concerned.

use std::sync::Arc;

use tokio::sync::watch;

/// One worker's state. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Health(Arc<watch::Sender<Condition>>);

/// What a worker can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    Serving,
    /// It takes no sessions until this is over.
    Hung(String),
    /// It never will again: another process may.
    Broken(String),
}

impl Health {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Condition::Serving)))
    }

    /// The worker can do nothing because a call does not return; `None`: it has returned.
    pub(crate) fn hung(&self, why: Option<String>) {
        let next = why.map_or(Condition::Serving, Condition::Hung);
        self.0.send_if_modified(|now| {
            let changes = !matches!(now, Condition::Broken(_)) && *now != next;
            if changes {
                *now = next;
            }
            changes
        });
    }

    /// The worker cannot serve any more. The first reason stays.
    pub(crate) fn broken(&self, why: String) {
        self.0.send_if_modified(|now| {
            let changes = !matches!(now, Condition::Broken(_));
            if changes {
                *now = Condition::Broken(why);
            }
            changes
        });
    }

    /// Why it does not serve.
    pub(crate) fn problem(&self) -> Option<String> {
        self.0.borrow().problem().map(str::to_owned)
    }

    /// Each change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Condition> {
        self.0.subscribe()
    }
}

impl Condition {
    pub(crate) fn problem(&self) -> Option<&str> {
        match self {
            Self::Serving => None,
            Self::Hung(why) | Self::Broken(why) => Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_may_return_and_a_broken_worker_stays_so() {
        let health = Health::new();
        let mut changes = health.subscribe();
        health.hung(None);
        assert!(!changes.has_changed().unwrap());
        health.hung(Some("a".into()));
        assert_eq!(health.problem().as_deref(), Some("a"));
        health.hung(None);
        assert_eq!(health.problem(), None);
        health.broken("b".into());
        health.broken("c".into());
        health.hung(None);
        assert_eq!(*changes.borrow_and_update(), Condition::Broken("b".into()));
    }
}
