//! `reframe-gateway token`: makes an access token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use rand::distr::{Alphanumeric, SampleString};
use reframe_tls::Reloaded;
use serde_json::{Map, Value};

use crate::access::{Action, Keys, Rights, mint};

/// Characters of a name that is drawn.
const DRAWN_CHARS: usize = 8;

/// What the token is to say.
#[derive(Args, Clone, Debug)]
pub struct TokenOptions {
    /// The gateway's secrets; the first one signs [file].
    #[arg(long, env = "REFRAME_AUTH_KEY_FILE", value_name = "FILE")]
    pub auth_key_file: String,

    /// The gateway's --auth-audience [a name].
    #[arg(long, env = "REFRAME_AUTH_AUDIENCE", value_name = "NAME")]
    pub auth_audience: Option<String>,

    /// Whom it is for: in logs, in the user name at a TURN server, and for what one client may have
    /// [text; default: a name that is drawn].
    #[arg(long)]
    pub subject: Option<String>,

    /// A stream that it is for; may be given several times [default: all].
    #[arg(long, value_name = "NAME")]
    pub stream: Vec<String>,

    /// What it allows; may be given several times [open, view, set, read, record].
    #[arg(long, value_name = "ACTION", default_value = "open")]
    pub action: Vec<String>,

    /// How long it is good for [a number and s, m, h or d; up to 365d].
    #[arg(long, default_value = "1h")]
    pub ttl: String,

    /// Sessions of the subject at once, at each gateway [default: any number].
    #[arg(long, value_name = "N")]
    pub max_sessions: Option<u32>,

    /// An input that has this value in each session, whatever its client sets; may be given several
    /// times [NAME=VALUE, the value as JSON].
    #[arg(long, value_name = "NAME=VALUE")]
    pub input: Vec<String>,
}

impl TokenOptions {
    /// The token.
    ///
    /// # Errors
    /// One line for each problem, naming its option.
    #[expect(clippy::disallowed_methods, reason = "a token's times are those of the clock")]
    pub fn make(&self) -> Result<String, Vec<String>> {
        let mut problems = Vec::new();
        let mut keep = |problem: String| problems.push(problem);
        let keys = Reloaded::from_text("--auth-key-file", &self.auth_key_file, Keys::from_lines);
        let keys = keys.map_err(&mut keep).ok();
        let ttl = duration(&self.ttl).map_err(&mut keep).ok();
        let mut actions: Vec<Action> = Vec::new();
        for action in &self.action {
            match serde_json::from_value(Value::from(action.as_str())) {
                Ok(action) => actions.push(action),
                Err(_) => keep(format!(
                    "--action: `{action}` is not one of open, view, set, read and record"
                )),
            }
        }
        let mut inputs = Map::new();
        for input in &self.input {
            let parsed = input.split_once('=').and_then(|(name, value)| {
                Some((name.to_owned(), serde_json::from_str(value).ok()?))
            });
            match parsed {
                Some((name, value)) => drop(inputs.insert(name, value)),
                None => {
                    keep(format!("--input: `{input}` is not like angle=90 or text='\"hello\"'"))
                }
            }
        }
        let (Some(keys), Some(ttl), true) = (keys, ttl, problems.is_empty()) else {
            return Err(problems);
        };
        let streams = (!self.stream.is_empty()).then(|| self.stream.clone());
        let max_sessions = self.max_sessions;
        let rights = Rights { streams, actions: Some(actions), max_sessions, inputs };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let audience = self.auth_audience.clone().filter(|name| !name.is_empty());
        let (keys, seconds) = (keys.current(), ttl.as_secs());
        // Two who got a token without a name are not one client.
        let drawn =
            || format!("guest-{}", Alphanumeric.sample_string(&mut rand::rng(), DRAWN_CHARS));
        let subject = self.subject.clone().unwrap_or_else(drawn);
        let minted = mint(&subject, &rights, &audience, &keys, now, seconds);
        minted.map_err(|problem| vec![problem])
    }
}

/// `90s`, `15m`, `1h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("--ttl: `{text}` is not a time like 15m, 1h or 7d, up to 365d");
    let unit = text.trim().chars().next_back().ok_or_else(wrong)?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number = text.trim().strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    let number = number.ok_or_else(wrong)?;
    let seconds = number.saturating_mul(each);
    let fits = (1..=365 * 24 * 60 * 60).contains(&seconds);
    fits.then_some(Duration::from_secs(seconds)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [("1s", 1), ("15m", 900), ("1h", 3_600), (" 7d ", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "1", "h", "0s", "-1h", "1.5h", "366d", "1 h", "1w", "1hh"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_problem_is_told() {
        let args = [
            "token",
            "--auth-key-file",
            "/absent",
            "--ttl",
            "soon",
            "--action",
            "steal",
            "--input",
            "x",
        ];
        #[derive(clap::Parser)]
        struct CommandLine {
            #[command(flatten)]
            options: TokenOptions,
        }
        let parsed: CommandLine = clap::Parser::parse_from(args);
        let problems = parsed.options.make().unwrap_err();
        let flags: Vec<_> =
            problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(flags, ["--auth-key-file", "--ttl", "--action", "--input"]);
    }
}
