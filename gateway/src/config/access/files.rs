//! Files of secrets, and the admin port's.

use std::net::SocketAddr;
use std::sync::Arc;

use reframe_tls::Reloaded;

use super::given;
use crate::access::{Keys, Secret};

/// Who may use `/api/sessions` of the admin port.
#[derive(Clone, Debug)]
pub(crate) enum Admin {
    /// Everybody who reaches it: it is bound to a loopback address.
    Local,
    /// Nobody, as no token is set.
    Closed,
    Token(Arc<Reloaded<Secret>>),
}

/// Reads files of secrets.
pub(super) struct Files<'a> {
    pub(super) problems: &'a mut Vec<String>,
    /// Those that everybody on this machine may read, by their options.
    pub(super) readable: Vec<&'static str>,
}

impl Files<'_> {
    /// Those of the file, if one is named and it is good.
    pub(super) fn keys(
        &mut self,
        flag: &'static str,
        path: &Option<String>,
    ) -> Option<Arc<Reloaded<Keys>>> {
        let read = Reloaded::from_text(flag, given(path)?, Keys::from_lines);
        self.kept(flag, read)
    }

    /// Who may use the admin port at `address`, where the operator's token is in this file.
    pub(super) fn admin(&mut self, path: &Option<String>, address: Option<SocketAddr>) -> Admin {
        const FLAG: &str = "--admin-token-file";
        match given(path) {
            Some(path) => {
                let read = Reloaded::from_text(FLAG, path, Secret::from_file);
                self.kept(FLAG, read).map_or(Admin::Closed, Admin::Token)
            }
            None if address.is_none_or(|address| address.ip().is_loopback()) => Admin::Local,
            None => Admin::Closed,
        }
    }

    fn kept<T>(
        &mut self,
        flag: &'static str,
        read: Result<Reloaded<T>, String>,
    ) -> Option<Arc<Reloaded<T>>> {
        let read = read.map_err(|problem| self.problems.push(problem)).ok()?;
        self.readable.extend(read.readable_by_all().then_some(flag));
        Some(Arc::new(read))
    }
}
