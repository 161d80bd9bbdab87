//! What becomes of a decoded picture before the session sees it: it is left out, turned upright or
//! scaled down. Second half of hop 2, pure.
//!
//! A browser is asked to keep to the limits (`peer::bitrates`), but need not obey. A handler never
//! gets more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::codec::{Picture, Rotation, scale, turn};
use crate::media::limits::VideoLimits;
use crate::media::packet::HeaderExtensions;

/// The fraction by which a camera may be faster than the limit: 30 fps then passes a limit of
/// 29.97.
const SLACK: f64 = 1.0 / 64.0;

/// See the module; one for each session.
#[derive(Debug)]
pub(crate) struct Intake {
    limits: VideoLimits,
    /// Whether frames are turned for the handler. If not, it is told their rotation. The session
    /// changes it with its worker.
    upright: Arc<AtomicBool>,
    /// As last sent: senders send it only with keyframes and changes.
    rotation: Rotation,
    /// When the next frame may have been captured: the generic cell rate algorithm (ITU-T I.371) on
    /// capture times, which the network does not disturb.
    due: Duration,
}

impl Intake {
    pub(crate) fn new(limits: VideoLimits, upright: Arc<AtomicBool>) -> Self {
        Self { limits, upright, rotation: Rotation::Upright, due: Duration::ZERO }
    }

    /// Records the header extensions of a frame, even if it is then left out. Returns false if it
    /// comes too soon after others.
    pub(crate) fn admits(&mut self, captured: Duration, marks: HeaderExtensions) -> bool {
        self.rotation = marks.rotation.unwrap_or(self.rotation);
        let interval = Duration::from_secs_f64((1.0 - SLACK) / self.limits.fps);
        // A quarter: captures are as regular as the camera, and half would let twice the rate
        // through.
        if captured + interval / 4 < self.due {
            return false;
        }
        self.due = (self.due + interval).max(captured);
        true
    }

    /// The picture for the handler, and how far it still is from upright.
    pub(crate) fn make(&self, picture: Picture) -> (Picture, Rotation) {
        let (width, height) = self.limits.fit(picture.width, picture.height);
        // Scaled first: fewer pixels to turn.
        let picture = if (width, height) == (picture.width, picture.height) {
            picture
        } else {
            scale(&picture, width, height)
        };
        if self.upright.load(Ordering::Relaxed) {
            (turn(picture, self.rotation), Rotation::Upright)
        } else {
            (picture, self.rotation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: VideoLimits = VideoLimits { long: 1280, short: 720, fps: 30.0 };

    /// How many frames a second are let through, of `seconds` of a camera at `fps`.
    fn rate(max_fps: f64, fps: f64) -> f64 {
        let mut intake =
            Intake::new(VideoLimits { fps: max_fps, ..MOST }, Arc::new(AtomicBool::new(true)));
        let frames = (0..).map(|n| Duration::from_secs_f64(f64::from(n) / fps));
        let admitted = frames
            .take_while(|at| at.as_secs() < 20)
            .filter(|at| intake.admits(*at, HeaderExtensions::default()))
            .count();
        admitted as f64 / 20.0
    }

    #[test]
    fn faster_cameras_are_thinned_out_and_slower_ones_are_not() {
        for fps in [1.0, 15.0, 29.97, 30.0, 30.2] {
            let admitted = rate(30.0, fps);
            assert!((admitted - fps).abs() < 0.1, "{admitted} of {fps}");
        }
        for fps in [33.0, 45.0, 50.0, 60.0, 90.0, 240.0] {
            let admitted = rate(30.0, fps);
            assert!((29.0..=30.7).contains(&admitted), "{admitted} of {fps}");
        }
        assert!((rate(29.97, 30.0) - 30.0).abs() < 0.1);
    }

    #[test]
    fn after_a_pause_it_goes_on_at_once_and_without_a_burst() {
        let mut intake = Intake::new(MOST, Arc::new(AtomicBool::new(true)));
        let mut admit = |ms| intake.admits(Duration::from_millis(ms), HeaderExtensions::default());
        assert!(admit(0) && !admit(10));
        assert!(admit(60_000));
        let burst = (60_001..60_100).filter(|ms| admit(*ms)).count();
        assert!((3..=4).contains(&burst), "{burst} frames in 100 ms");
    }

    #[test]
    fn a_clock_that_stands_still_lets_one_through() {
        let mut intake = Intake::new(MOST, Arc::new(AtomicBool::new(true)));
        assert_eq!(
            (0..1_000)
                .filter(|_| intake.admits(Duration::ZERO, HeaderExtensions::default()))
                .count(),
            1
        );
    }

    #[test]
    fn sizes_keep_their_shape_whichever_way_they_lie() {
        assert_eq!(MOST.fit(1280, 720), (1280, 720));
        assert_eq!(MOST.fit(720, 1280), (720, 1280));
        assert_eq!(MOST.fit(1920, 1080), (1280, 720));
        assert_eq!(MOST.fit(1080, 1920), (720, 1280));
        assert_eq!(MOST.fit(4096, 16), (1280, 4));
        assert_eq!(MOST.fit(1024, 1024), (720, 720));
        assert_eq!(MOST.fit(4096, 1), (1280, 2));
    }

    #[test]
    fn a_rotation_holds_until_another_is_said() {
        let says = |rotation| HeaderExtensions { rotation, ..HeaderExtensions::default() };
        let picture = Picture { width: 4, height: 2, data: vec![0; 12].into() };
        let mut upright = Intake::new(MOST, Arc::new(AtomicBool::new(true)));
        let mut keep_rotation = Intake::new(MOST, Arc::new(AtomicBool::new(false)));
        for (n, (said, expected)) in
            [(None, 0), (Some(Rotation::Quarter), 90), (None, 90), (Some(Rotation::Upright), 0)]
                .into_iter()
                .enumerate()
        {
            let at = Duration::from_secs(n as u64);
            assert!(upright.admits(at, says(said)) && keep_rotation.admits(at, says(said)));
            let (turned, left) = upright.make(picture.clone());
            assert_eq!((turned.width, left.degrees()), (if expected == 90 { 2 } else { 4 }, 0));
            let (sent, left) = keep_rotation.make(picture.clone());
            assert_eq!((sent.width, left.degrees()), (4, expected));
        }
    }
}
