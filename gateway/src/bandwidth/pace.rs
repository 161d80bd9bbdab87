//! Fewer pictures a second, by their own time and not by how many there were: what comes seldom enough is all shown.

/// Lets new pictures through at most once in an interval, and a picture that is shown already only where none has come.
///
/// Times are of one stream's 90 kHz clock, and grow. For another interval begin anew.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next new picture is due.
    next: u64,
    /// The last that was let through.
    last: Option<u64>,
}

impl Pace {
    /// Whether the picture of this time is to be shown, where two are `interval` ticks apart.
    ///
    /// A new one may be early by two fifths of that, so that those of 30 fps come through as evenly as they can at 20 and
    /// at 15, also where they are some milliseconds off their grid. What is early counts as on time for the next.
    pub(super) fn allows(&mut self, pts: u64, interval: u64, new: bool) -> bool {
        let Some(last) = self.last else {
            (self.next, self.last) = (pts + interval, Some(pts));
            return true;
        };
        // It costs next to nothing, but must not take the turn of a new one.
        let allowed = if new { pts + interval * 2 / 5 >= self.next } else { pts >= last + interval * 3 / 2 };
        if allowed {
            self.last = Some(pts);
        }
        if allowed && new {
            self.next = self.next.max(pts) + interval;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grid of 30 fps; at which places something is shown.
    fn shown(interval: u64, seconds: u64, come: impl Fn(u64) -> Option<bool>) -> Vec<(u64, bool)> {
        let mut pace = Pace::default();
        let come = (0..seconds * 30).filter_map(|place| come(place).map(|new| (place, new)));
        come.filter(|(place, new)| pace.allows(place * 3_000, interval, *new)).collect()
    }

    fn places(shown: &[(u64, bool)]) -> Vec<u64> {
        shown.iter().map(|(place, _)| *place).collect()
    }

    #[test]
    fn more_than_wanted_is_thinned_evenly() {
        let all = |_| Some(true);
        assert_eq!(places(&shown(4_500, 1, all))[..7], [0, 1, 3, 4, 6, 7, 9], "20 fps");
        assert_eq!(places(&shown(6_000, 1, all))[..5], [0, 2, 4, 6, 8], "15 fps");
        assert_eq!(shown(3_000, 1, all).len(), 30);
        // Each some milliseconds early or late.
        let mut pace = Pace::default();
        let uneven = |place: u64| 3_000 * place + 10_000 + [0, 300, 700, 150][(place % 4) as usize];
        let shown = (0..300).filter(|place| pace.allows(uneven(*place), 6_000, true)).count();
        assert_eq!(shown, 150);
    }

    #[test]
    fn who_sends_as_few_as_wanted_has_all_of_them_shown_also_between_repeats() {
        for phase in 0..2 {
            let come = |place: u64| Some(place % 2 == phase);
            let shown = shown(6_000, 10, come);
            let new = shown.iter().filter(|(_, new)| *new).count();
            assert!(new >= 149, "{new} of 150");
            assert!(shown.len() - new <= 1, "a repeat takes no turn: {shown:?}");
        }
    }

    #[test]
    fn where_nothing_new_comes_the_last_is_shown_again_and_keeps_nobody_out() {
        let shown = shown(6_000, 4, |place| Some(!(30..90).contains(&place)));
        let repeats = shown.iter().filter(|(_, new)| !new).count();
        assert_eq!(repeats, 20, "each 100 ms");
        assert_eq!(shown.iter().find(|(place, new)| *place > 30 && *new).map(|(place, _)| *place), Some(90));
    }
}
