//! The first line of YUV4MPEG2, by which ffmpeg says what follows.

/// The longest header that is read, in bytes. ffmpeg's own have about 80.
pub(super) const MAX_BYTES: usize = 256;

/// Before each picture.
pub(super) const FRAME: &[u8] = b"FRAME\n";

/// What every picture of the stream has in common. Its layout is packed I420.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pictures per second.
    pub(super) fps: f64,
}

impl Header {
    /// From the line without its end.
    pub(super) fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let line = str::from_utf8(line).map_err(|_| "the header is no text")?;
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err("the header is another");
        }
        let (mut width, mut height, mut fps) = (None, None, None);
        for word in words {
            match word.split_at_checked(1) {
                Some(("W", pixels)) => width = pixels.parse().ok(),
                Some(("H", pixels)) => height = pixels.parse().ok(),
                Some(("F", ratio)) => fps = rate(ratio),
                // The three sitings of chroma that 8 bit I420 comes in; deeper pictures say
                // `420p10` and the like.
                Some(("C", "420jpeg" | "420mpeg2" | "420paldv" | "420")) => {}
                Some(("C", _)) => return Err("the pictures are not I420"),
                _ => {}
            }
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err("the header has no size");
        };
        Ok(Self { width, height, fps: fps.ok_or("the header has no rate")? })
    }
}

/// `30000:1001` and the like.
fn rate(ratio: &str) -> Option<f64> {
    let (pictures, seconds) = ratio.split_once(':')?;
    let rate = f64::from(pictures.parse::<u32>().ok()?) / f64::from(seconds.parse::<u32>().ok()?);
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ffmpeg_writes() {
        let line = b"YUV4MPEG2 W641 H359 F30000:1001 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED";
        assert_eq!(
            Header::parse(line),
            Ok(Header { width: 641, height: 359, fps: 30000.0 / 1001.0 })
        );
    }

    #[test]
    fn refuses_what_it_would_misread() {
        for line in [
            &b""[..],
            b"RIFF W1 H1 F1:1",
            b"YUV4MPEG2 W640 F30:1",
            b"YUV4MPEG2 W-1 H1 F30:1",
            b"YUV4MPEG2 W640 H360 F30:1 C444",
            b"YUV4MPEG2 W640 H360 F30:1 C420p10",
            b"YUV4MPEG2 W640 H360 F30:0",
            b"YUV4MPEG2 W640 H360 F0:1",
            b"YUV4MPEG2 W640 H360",
            b"YUV4MPEG2 \xff",
        ] {
            assert!(Header::parse(line).is_err(), "{}", line.escape_ascii());
        }
    }
}
