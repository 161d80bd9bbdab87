//! What goes wrong in a course: sessions stall, go, come back, give up, and call twice.

use rand::RngExt;

use super::super::core::Twice;
use super::{Event, MILLISECOND, Picture, SECOND, Thread, World};

impl World {
    pub(super) fn fault(&mut self) {
        if self.now >= self.plan.end {
            return;
        }
        let index = self.random.random_range(0..self.clients.len());
        let client = &mut self.clients[index];
        let (session, interval) = (client.session, client.interval);
        if !client.gone {
            match self.random.random_range(0..6) {
                0 => client.stalled_until = self.now + self.random.random_range(0..SECOND / 5),
                1 => {
                    client.gone = true;
                    let called = client.thread;
                    let item = self.core.gone(session);
                    self.witness.check_left(session, called, item);
                    if self.random.random() {
                        // As somebody else with the same number, at once.
                        self.join(session, interval, interval);
                    }
                }
                2 | 3 => {
                    let called = client.thread;
                    let item = self.core.leave(session);
                    self.witness.check_left(session, called, item);
                    if let Thread::InCall(_) = called {
                        self.answered(index);
                    }
                }
                4 => {
                    if let Thread::InCall(_) = client.thread {
                        let picture = Picture { id: u64::MAX, captured: 0 };
                        let refused = self.core.enter(self.at(self.now), session, picture);
                        assert_eq!(refused, Err(Twice(picture)));
                        self.witness.refused += 1;
                    }
                }
                _ => {
                    let session = u64::MAX;
                    assert_eq!(self.core.leave(session), None);
                    assert_eq!(self.core.supersede(self.at(self.now), session), None);
                }
            }
        }
        let next = self.now + self.random.random_range(MILLISECOND..20 * MILLISECOND);
        self.schedule(next, Event::Fault);
    }
}
