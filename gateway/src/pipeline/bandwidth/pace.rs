//! Thins out pictures by their time and not by their number: pictures that come seldom enough are
//! all shown.

use std::time::Duration;

use tokio::time::Instant;

/// Lets new pictures through at most once in an interval, and a picture that is shown already only
/// if no new one has come.
///
/// Times are when pictures are released, or are to leave. For another interval create a new one.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next new picture is due; `None` before the first.
    next: Option<Instant>,
    /// The last that was let through.
    last: Option<Instant>,
}

impl Pace {
    /// Whether to show the picture of this time, if two are to be `interval` apart.
    ///
    /// A new one may be early by three sevenths of that: then 30 fps gives every second picture at
    /// 15 fps and two of three at 20, even if they are 4.7 ms off their grid. It may be half an
    /// interval late, as pictures are that come at 33 and 67 ms in turn at 20 fps.
    pub(super) fn allows(&mut self, at: Instant, interval: Duration, new: bool) -> bool {
        let allowed = if new {
            self.next.is_none_or(|next| at + interval * 3 / 7 >= next)
        } else {
            // For codecs without cheap repeats it is a whole picture, and must not take the turn of
            // a new one.
            self.last.is_none_or(|last| at >= last + interval * 5 / 2)
        };
        if allowed {
            self.last = Some(at);
        }
        if allowed && new {
            // After an early or a late picture the next one keeps its time.
            self.next = Some(self.next.map_or(at, |next| next.max(at - interval / 2)) + interval);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const FIFTEEN: Duration = Duration::from_micros(66_667);
    const TWENTY: Duration = Duration::from_millis(50);

    /// Which pictures of a grid of 30 fps are shown. Each has a place, milliseconds off it, and
    /// whether it is new.
    fn shown(
        interval: Duration,
        come: impl IntoIterator<Item = (u32, i32, bool)>,
    ) -> Vec<(u32, bool)> {
        let (mut pace, start) = (Pace::default(), Instant::now() + MS * 100);
        let at = |place: u32, off: i32| {
            let grid = start + Duration::from_micros(33_333) * place;
            if off < 0 { grid - MS * off.unsigned_abs() } else { grid + MS * off.unsigned_abs() }
        };
        let shown = come
            .into_iter()
            .filter(|(place, off, new)| pace.allows(at(*place, *off), interval, *new));
        shown.map(|(place, _, new)| (place, new)).collect()
    }

    fn places(shown: &[(u32, bool)]) -> Vec<u32> {
        shown.iter().map(|(place, _)| *place).collect()
    }

    #[test]
    fn more_than_wanted_is_thinned_evenly_also_off_the_grid() {
        for jitter in [[0; 4], [2, -2, 2, -2], [-2, 2, 2, 0], [0, 1, -2, 2]] {
            let all = || (0..300).map(|place| (place, jitter[(place % 4) as usize], true));
            assert_eq!(
                places(&shown(TWENTY, all())),
                (0..300).filter(|n| n % 3 < 2).collect::<Vec<_>>(),
                "{jitter:?}"
            );
            assert_eq!(
                places(&shown(FIFTEEN, all())),
                (0..300).step_by(2).collect::<Vec<_>>(),
                "{jitter:?}"
            );
        }
    }

    #[test]
    fn who_sends_as_few_as_wanted_has_all_of_them_shown_also_between_repeats() {
        for phase in 0..2 {
            let come = |place: u32| (place, [3, -3, 0][(place % 3) as usize], place % 2 == phase);
            let shown = shown(FIFTEEN, (0..300).map(come));
            let new = shown.iter().filter(|(_, new)| *new).count();
            assert_eq!(new, 150, "{shown:?}");
            assert!(shown.len() - new <= 1, "a repeat takes no turn: {shown:?}");
        }
        // Two of three, as a camera of 30 fps is thinned to 20.
        let two_of_three = (0..300)
            .filter(|place| place % 3 < 2)
            .map(|place| (place, [2, -2][(place % 2) as usize], true));
        assert_eq!(shown(TWENTY, two_of_three).len(), 200);
    }

    #[test]
    fn where_nothing_new_comes_the_last_is_shown_again_and_keeps_nobody_out() {
        let shown = shown(FIFTEEN, (0..120).map(|place| (place, 0, !(30..90).contains(&place))));
        let repeats = shown.iter().filter(|(_, new)| !new).count();
        assert_eq!(repeats, 10, "each 200 ms");
        assert_eq!(
            shown.iter().find(|(place, new)| *place > 30 && *new).map(|(place, _)| *place),
            Some(90)
        );
    }
}
