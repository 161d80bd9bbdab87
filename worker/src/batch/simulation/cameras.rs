//! A session's camera, gateway and thread.

use rand::RngExt;

use super::{Client, DOWN, Event, Micros, NEWEST_CREDITS, Picture, TURN, Thread, UP, World};

impl World {
    pub(super) fn join(&mut self, session: u64, interval: Micros, within: Micros) {
        let credits = if self.plan.newest_wins { NEWEST_CREDITS } else { 1 };
        let index = self.clients.len();
        self.clients.push(Client {
            session,
            interval,
            gone: false,
            stalled_until: 0,
            newest: None,
            sent: None,
            arrives: 0,
            credits,
            inbox: None,
            thread: Thread::Idle,
            answered: 0,
        });
        let first = self.now + self.random.random_range(0..within);
        self.schedule(first, Event::Capture(index));
    }

    pub(super) fn capture(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.gone || self.now >= self.plan.end {
            return;
        }
        let next = self.now + client.interval;
        if client.stalled_until <= self.now {
            self.pictures += 1;
            client.newest = Some(Picture { id: self.pictures, captured: self.now });
        }
        self.schedule(next, Event::Capture(index));
        self.send(index);
    }

    /// Sends the newest frame if it is new and there is a credit.
    pub(super) fn send(&mut self, index: usize) {
        let jitter = self.random.random_range(0..=self.plan.jitter);
        let client = &mut self.clients[index];
        let Some(picture) = client.newest else { return };
        if client.gone || client.credits == 0 || client.sent == Some(picture.id) {
            return;
        }
        client.credits -= 1;
        client.sent = Some(picture.id);
        client.arrives = client.arrives.max(self.now + UP + jitter);
        let arrives = client.arrives;
        self.schedule(arrives, Event::Arrive(index, picture));
    }

    pub(super) fn arrive(&mut self, index: usize, picture: Picture) {
        let client = &mut self.clients[index];
        if client.gone {
            return;
        }
        let replaced = client.inbox.replace(picture).is_some();
        let (session, thread) = (client.session, client.thread);
        if replaced {
            self.schedule(self.now + DOWN, Event::Credit(index));
        }
        match thread {
            Thread::Idle => {
                self.clients[index].thread = Thread::Turning;
                self.enter(index);
            }
            Thread::InCall(called) if self.plan.newest_wins => {
                let out = self.core.supersede(self.at(self.now), session);
                assert_eq!(out, self.witness.supersede(session, called.id).then_some(called));
                if out.is_some() {
                    self.answered(index);
                }
            }
            Thread::InCall(_) | Thread::Turning => {}
        }
    }

    /// The thread's call has returned. It takes the next frame if there is one.
    pub(super) fn answered(&mut self, index: usize) {
        self.schedule(self.now + DOWN, Event::Credit(index));
        let client = &mut self.clients[index];
        client.thread = Thread::Idle;
        if client.inbox.is_some() {
            client.thread = Thread::Turning;
            self.schedule(self.now + TURN, Event::Enter(index));
        }
    }

    pub(super) fn enter(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.gone {
            return;
        }
        let picture = client.inbox.take().expect("a thread turns to a frame");
        client.thread = Thread::InCall(picture);
        let session = client.session;
        self.witness.enter(self.now, session, picture.id);
        self.core.enter(self.at(self.now), session, picture).unwrap();
    }
}
