//! What a free model waits for: sessions that are due, while that pays.

use std::time::Duration;

use tokio::time::Instant;

use super::Core;
use super::member::State;
use crate::batch::service::real;
use crate::batch::think::{STEP, STEPS, steps};

impl<T> Core<T> {
    /// Until when to wait for a superseded session that belongs to the next batch. It would
    /// otherwise pay for its newer frame with a whole batch. It is not worth the wait if it usually
    /// is away for too long.
    pub(super) fn detour(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let last = self.last_place();
        let reserved = self.members.iter().filter_map(|member| match member.state {
            State::Superseded(reserved) if reserved.place < last => {
                Some((reserved.since, member.detour))
            }
            _ => None,
        });
        let until = reserved.filter_map(|(since, detour)| match detour {
            Some(detour) => (since + detour <= deadline).then_some(since + detour * 2),
            None => Some(since + self.settings.max_wait),
        });
        until.filter(|until| *until > now).min().map(|until| until.min(deadline))
    }

    /// Until when to wait for sessions that are due.
    ///
    /// Let w items wait, and k more be expected within d. A batch that begins now answers the w
    /// after T(w), and the k get the model when it is free again, for another T(k). A batch that
    /// waits answers all of them after d + T(w + k). What counts is the sum over the items, so with
    /// T(n) = a + b·n and one model, waiting pays if k·(a − b·w) > (w + k)·d: the fixed cost has to
    /// dominate.
    pub(super) fn refill(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let size = self.queue.len().min(self.settings.max_batch);
        let (w, room) = (real(size), real(self.settings.max_batch - size));
        let time = |size| self.service.of(size);
        let ends = self.running.iter().map(|running| {
            let elapsed = (now - running.began).as_secs_f64();
            (time(real(running.sessions.len())) - elapsed).max(0.0)
        });
        // When those get a model who come too late for a batch that begins now.
        let next = ends.fold(time(w), f64::min);
        let within = (deadline - now).min(Duration::from_secs_f64(next));
        let mut expected = [0.0; STEPS];
        let expected = &mut expected[..STEPS.min(steps(within))];
        for member in self.members.iter() {
            if let State::Away { answered: Some(answered) } = member.state {
                member.think.expect(now - answered, expected);
            }
        }
        let gain = |k: f64, wait: Duration| {
            let fire = w * time(w) + k * (next + time(k.max(1.0)));
            fire - (w + k) * (wait.as_secs_f64() + time(w + k))
        };
        (1..)
            .zip(expected)
            .map(|(step, k)| (STEP * step, gain(k.min(room), STEP * step)))
            .filter(|(_, gain)| *gain > 0.0)
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(wait, _)| now + wait)
    }
}
