//! The level by which an answer says what of H.264 is taken (ITU-T H.264, table A-1; RFC 6184,
//! section 8.2.2). Pure.

use crate::media::limits::VideoLimits;

/// Macroblocks a second, macroblocks of a picture, kbit/s, and what the level is called. Those
/// below 2 are for less than any browser sends, and 1.1 has two meanings.
const LEVELS: [(f64, u32, u32, u8); 12] = [
    (11_880.0, 396, 2_000, 20),
    (19_800.0, 792, 4_000, 21),
    (20_250.0, 1_620, 4_000, 22),
    (40_500.0, 1_620, 10_000, 30),
    (108_000.0, 3_600, 14_000, 31),
    (216_000.0, 5_120, 20_000, 32),
    (245_760.0, 8_192, 20_000, 40),
    (245_760.0, 8_192, 50_000, 41),
    (522_240.0, 8_704, 50_000, 42),
    (589_824.0, 22_080, 135_000, 50),
    (983_040.0, 36_864, 240_000, 51),
    (2_073_600.0, 36_864, 240_000, 52),
];
/// The last of them.
const HIGHEST: u8 = 52;

/// The lowest that holds the largest pictures at their highest rate, and `kbps`.
fn lowest(limits: VideoLimits, kbps: u32) -> u8 {
    let (columns, rows) = (limits.long.div_ceil(16), limits.short.div_ceil(16));
    let holds = |(rate, size, bitrate, _): &&(f64, u32, u32, u8)| {
        let size_fits = columns * rows <= *size && columns * columns <= 8 * size;
        size_fits && f64::from(columns * rows) * limits.fps <= *rate && kbps <= *bitrate
    };
    LEVELS.iter().find(holds).map_or(HIGHEST, |(.., level)| *level)
}

/// An answer's line of format parameters, with our own level in place of the offered one if each
/// side may have its own. Unchanged if it has no level.
pub(super) fn limited(fmtp: &str, limits: VideoLimits, kbps: u32) -> String {
    const LEVEL_ID: &str = "profile-level-id=";
    let level = fmtp.find(LEVEL_ID).map(|at| at + LEVEL_ID.len() + "42e0".len());
    match level
        .filter(|_| fmtp.contains("level-asymmetry-allowed=1"))
        .and_then(|at| fmtp.split_at_checked(at))
    {
        Some((profile, rest)) => {
            format!("{profile}{:02x}{}", lowest(limits, kbps), rest.get(2..).unwrap_or_default())
        }
        None => fmtp.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_level_holds_size_and_rates() {
        for (long, short, fps, kbps, level) in [
            (1280, 720, 30.0, 2_000, 31),
            (1280, 720, 60.0, 2_000, 32),
            (1280, 720, 30.0, 15_000, 32),
            (1920, 1080, 30.0, 2_000, 40),
            (1920, 1080, 60.0, 2_000, 42),
            (640, 480, 30.0, 2_000, 30),
            (640, 360, 30.0, 2_000, 30),
            (320, 240, 30.0, 2_000, 20),
            (16, 16, 1.0, 100, 20),
            // As many macroblocks as fit, but on one line.
            (1024, 16, 1.0, 100, 21),
            (4096, 2304, 240.0, 2_000, 52),
            (4096, 2304, 240.0, 900_000, 52),
        ] {
            assert_eq!(
                lowest(VideoLimits { long, short, fps }, kbps),
                level,
                "{long}x{short} at {fps}, {kbps}"
            );
        }
    }

    #[test]
    fn only_a_level_that_may_be_our_own_is_changed() {
        let limits = VideoLimits { long: 640, short: 480, fps: 30.0 };
        let changed = |fmtp: &str| limited(fmtp, limits, 2_000);
        assert_eq!(
            changed(
                "a=fmtp:9 level-asymmetry-allowed=1;profile-level-id=64001f;packetization-mode=0"
            ),
            "a=fmtp:9 level-asymmetry-allowed=1;profile-level-id=64001e;packetization-mode=0"
        );
        for fmtp in
            ["a=fmtp:9 packetization-mode=1;profile-level-id=42e01f", "a=fmtp:9 profile-id=0", ""]
        {
            assert_eq!(changed(fmtp), fmtp);
        }
        changed("level-asymmetry-allowed=1;profile-level-id=");
    }
}
