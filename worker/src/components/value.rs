//! The value of an input.

use std::sync::Arc;

/// The value of an input. Public because [`crate::FromInput`] names it, and in a private module so
/// that nothing else can.
#[derive(Debug, Clone, PartialEq)]
pub enum InputValue {
    Number(f64),
    Flag(bool),
    Text(Arc<str>),
}

/// Red, green and blue of `#rrggbb`.
pub(crate) fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some([red, green, blue])
}
