//! How a source is named to ffmpeg, and to people.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::error::SourceError;

/// A source as ffmpeg takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// Up to `-i` and the source itself.
    pub(super) arguments: Vec<OsString>,
    /// Without secrets, for messages.
    pub(super) name: String,
}

impl Input {
    /// An address when it has `://` in it, a camera below `/dev/video`, else a file.
    pub(super) fn new(source: &OsStr) -> Result<Self, SourceError> {
        let text = source.to_string_lossy();
        let name = public(&text);
        let mut arguments = Vec::new();
        if text.contains("://") {
            let (scheme, _) = text.split_once("://").expect("it was just found");
            if ["rtsp", "rtsps"].iter().any(|rtsp| scheme.eq_ignore_ascii_case(rtsp)) {
                // Over UDP, ffmpeg's first choice, a lost packet smears the picture until the next
                // keyframe.
                arguments.extend(["-rtsp_transport", "tcp"].map(OsString::from));
            }
            arguments.extend(["-i".into(), source.into()]);
        } else if text.starts_with("/dev/video") {
            arguments.extend(["-f".into(), "v4l2".into(), "-i".into(), source.into()]);
        } else {
            if !Path::new(source).exists() {
                return Err(SourceError::NotFound(name));
            }
            // With the prefix the rest is a path to ffmpeg, whatever is in it: `-` or `concat:a|b`
            // too.
            let mut file = OsString::from("file:");
            file.push(source);
            arguments.extend(["-i".into(), file]);
        }
        Ok(Self { arguments, name })
    }
}

/// `text` with its addresses less user, password and query, where cameras and stores keep secrets.
pub(super) fn public(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown += before;
        shown += "://";
        let (address, tail) =
            after.split_at(after.find(char::is_whitespace).unwrap_or(after.len()));
        let (host, path) = address.split_at(address.find(['/', '?']).unwrap_or(address.len()));
        shown += host.rsplit('@').next().unwrap_or(host);
        shown += path.split('?').next().unwrap_or(path);
        rest = tail;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(source: &str) -> Vec<OsString> {
        Input::new(source.as_ref()).unwrap().arguments
    }

    #[test]
    fn addresses_and_cameras_are_told_from_files() {
        assert_eq!(arguments("https://a.example/b.mp4"), ["-i", "https://a.example/b.mp4"]);
        assert_eq!(arguments("RTSP://cam/1"), ["-rtsp_transport", "tcp", "-i", "RTSP://cam/1"]);
        assert_eq!(arguments("/dev/video0"), ["-f", "v4l2", "-i", "/dev/video0"]);
        assert_eq!(arguments("/dev/null"), ["-i", "file:/dev/null"]);
        assert_eq!(Input::new("-y".as_ref()), Err(SourceError::NotFound("-y".into())));
    }

    #[test]
    fn secrets_are_not_shown() {
        for (text, shown) in [
            ("rtsp://me:p@ss@cam:554/live?key=1", "rtsp://cam:554/live"),
            ("https://a.example?token=1", "https://a.example"),
            (
                "x rtsp://u:p@cam/1: refused, tcp://u@cam too",
                "x rtsp://cam/1: refused, tcp://cam too",
            ),
            ("clips/me@home?.mp4", "clips/me@home?.mp4"),
        ] {
            assert_eq!(public(text), shown);
        }
    }
}
