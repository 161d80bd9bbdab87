//! Which limit a client has reached, and what its people may do about it.

/// A limit that refuses a new session of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientLimit {
    pub(crate) of: Client,
    pub(crate) what: Limited,
    /// As many as there may be.
    pub(crate) max: u32,
}

/// What the session is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Its IPv4 address, or its IPv6 /64.
    Address,
    /// Whom its access token names.
    Subject,
}

/// What there are too many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    /// Offers, of late.
    Offers,
    /// Sessions whose browsers have not shown that they are there.
    Pending,
    /// Sessions.
    Sessions,
    /// Sessions, by what the subject's token allows.
    TokenSessions,
}

impl ClientLimit {
    /// The label `limit`.
    pub(crate) fn label(self) -> &'static str {
        match (self.what, self.of) {
            (Limited::Offers, Client::Address) => "offers_of_address",
            (Limited::Offers, Client::Subject) => "offers_of_subject",
            (Limited::Pending, Client::Address) => "pending_of_address",
            (Limited::Pending, Client::Subject) => "pending_of_subject",
            (Limited::Sessions, Client::Address) => "sessions_of_address",
            (Limited::Sessions, Client::Subject) => "sessions_of_subject",
            (Limited::TokenSessions, _) => "sessions_of_token",
        }
    }

    /// Whether it helps to end a session.
    pub(super) fn is_of_sessions(self) -> bool {
        matches!(self.what, Limited::Sessions | Limited::TokenSessions)
    }

    /// For the client's author, and for the operator.
    pub(crate) fn in_words(self) -> String {
        let max = self.max;
        let whose = match self.of {
            Client::Address => "your network",
            Client::Subject => "the token's subject",
        };
        let problem = match self.what {
            Limited::Offers => format!(
                "{whose} offers more than {max} new sessions a second (--offer-rate): wait, and \
                 offer again"
            ),
            Limited::Pending => format!(
                "{whose} has {max} sessions whose browsers have not connected yet \
                 (--max-pending-per-client): wait until one has, and offer again"
            ),
            Limited::Sessions => format!(
                "{whose} has {max} sessions, as many as it may (--max-sessions-per-client): end \
                 one of them"
            ),
            Limited::TokenSessions => format!("{whose} has {max} sessions, as many as it may"),
        };
        match self.of {
            Client::Address => format!(
                "{problem}; behind a proxy that serves many people, the server needs \
                 --trusted-proxies"
            ),
            Client::Subject => problem,
        }
    }
}
