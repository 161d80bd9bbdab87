//! Writes YUV4MPEG2 files: what Chromium plays, in a loop, in place of a camera.
//!
//! The format is one header line, then for each picture the line `FRAME` and the packed I420
//! planes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::pattern::Camera;

/// Writes the pictures numbered `0..frames` of `camera` to `path`, to be played at `fps`.
///
/// # Errors
/// When the file cannot be written; what is there then is not a whole clip.
pub fn write(path: &Path, camera: &Camera, fps: u32, frames: u32) -> io::Result<()> {
    let (width, height) = camera.size();
    let mut file = BufWriter::new(File::create(path)?);
    // Progressive, square pixels; the chroma siting is the one that Chromium assumes.
    writeln!(file, "YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg")?;
    for number in 0..frames {
        file.write_all(b"FRAME\n")?;
        file.write_all(&camera.frame(number))?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_a_header_and_whole_pictures() {
        let path = std::env::temp_dir().join(format!("reframe-y4m-{}.y4m", std::process::id()));
        let camera = Camera::new(320, 240);
        write(&path, &camera, 30, 3).unwrap();
        let clip = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();

        let header = b"YUV4MPEG2 W320 H240 F30:1 Ip A1:1 C420jpeg\n";
        let expected: Vec<u8> = (0..3)
            .flat_map(|number| [b"FRAME\n".to_vec(), camera.frame(number)])
            .flatten()
            .collect();
        assert!(clip.starts_with(header));
        assert_eq!(clip[header.len()..], expected);
    }
}
