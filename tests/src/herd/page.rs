//! When a page comes again: `gateway/src/http/page`, by its own constants.

use std::time::Duration;

use super::Dice;
use super::source::Source;

const SESSION: Source =
    Source { name: "session.js", text: include_str!("../../../gateway/src/http/page/session.js") };
const CONNECTION: Source = Source {
    name: "connection.js",
    text: include_str!("../../../gateway/src/http/page/connection.js"),
};
const SIGNALLING: Source = Source {
    name: "signalling.js",
    text: include_str!("../../../gateway/src/http/page/signalling.js"),
};
const OUTCOME: Source =
    Source { name: "outcome.js", text: include_str!("../../../gateway/src/http/page/outcome.js") };

/// How long one try may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the offer to the answer.
    pub answer: Duration,
    /// From the answer until the connection stands and the session is admitted.
    pub connect: Duration,
}

/// The page's constants.
#[derive(Clone, Debug)]
pub struct Timing {
    /// A person has just pressed Start.
    pub first: Patience,
    /// The connection was lost.
    pub again: Patience,
    /// Before each try to connect again, at most.
    pub pauses: Vec<Duration>,
    /// What it adds while the old connection still serves.
    pub spread: Duration,
    /// Without a connection for so long, a session has failed.
    pub regain: Duration,
    /// Between two looks at what has come.
    pub look: Duration,
    /// After more looks than these at which nothing had come, the connection is lost.
    pub silent_looks: u32,
    /// After more than these, another path to the server is tried.
    pub restart_looks: u32,
    /// Refusals that whoever has just pressed Start waits for the end of.
    pub passing: Vec<&'static str>,
    /// The most that a server may make it wait.
    max_retry: Duration,
}

impl Timing {
    /// As the page has it.
    ///
    /// # Panics
    /// When the page no longer has it, or does something else with it.
    #[must_use]
    pub fn of_the_page() -> Self {
        SESSION.expect("Math.random() * (this.#current ? pause + SPREAD_MS : pause)");
        SESSION.expect("PAUSES_MS[Math.min(this.#tries, PAUSES_MS.length - 1)]");
        SIGNALLING.expect(
            "const told = seconds >= 0 ? Math.min(seconds * 1_000, MAX_RETRY_MS) : RETRY_MS;",
        );
        SIGNALLING.expect("return told * (1 + Math.random());");
        CONNECTION.expect("if (this.#silentLooks > SILENT_LOOKS) this.#lose(LOST);");
        CONNECTION.expect("else if (this.#silentLooks > RESTART_LOOKS) await this.#restart();");
        let patience = |name| Patience {
            answer: SESSION.millis_at(name, "answerMs"),
            connect: SESSION.millis_at(name, "connectMs"),
        };
        let looks = |name| u32::try_from(CONNECTION.number(name)).expect("a few");
        Self {
            first: patience("FIRST"),
            again: patience("AGAIN"),
            pauses: SESSION.list_of_millis("PAUSES_MS"),
            spread: SESSION.millis("SPREAD_MS"),
            regain: SESSION.millis("REGAIN_MS"),
            look: CONNECTION.millis("LOOK_MS"),
            silent_looks: looks("SILENT_LOOKS"),
            restart_looks: looks("RESTART_LOOKS"),
            passing: OUTCOME.list_of_texts("PASSING"),
            max_retry: SIGNALLING.millis("MAX_RETRY_MS"),
        }
    }

    /// Before the next try after `tries` of them; `serves`: the old connection still does.
    pub fn pause(&self, tries: usize, serves: bool, dice: &mut Dice) -> Duration {
        let max_pause = self.pauses[tries.min(self.pauses.len() - 1)];
        let max_pause = if serves { max_pause + self.spread } else { max_pause };
        max_pause.mul_f64(dice.fraction())
    }

    /// Before the next offer, where the server has said so.
    pub fn retry_after(&self, named: Duration, dice: &mut Dice) -> Duration {
        named.min(self.max_retry).mul_f64(1.0 + dice.fraction())
    }

    /// From the last thing that came until the page knows that it has lost its server: the first
    /// look still finds something new.
    #[must_use]
    pub fn noticed_within(&self) -> Duration {
        self.look * (self.silent_looks + 1)
    }
}
