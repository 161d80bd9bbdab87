//! The header `If-Match` (RFC 9110, section 13.1.1): which ICE session a PATCH is for. Pure.

use actix_web::http::header::{HeaderMap, IF_MATCH};

use crate::gateway::Condition;

/// Entity tags of one request; a client knows one. Full: the header is refused.
const MAX_TAGS: usize = 16;

/// Why there is no condition. The text is for the client's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConditionError {
    #[error(
        "a PATCH needs `If-Match`: the `ETag` of the last answer for candidates, `*` for an ICE \
         restart"
    )]
    Missing,
    #[error("`If-Match` must be `*`, or at most {MAX_TAGS} entity tags in quotes")]
    Malformed,
}

/// The condition of a request.
///
/// # Errors
/// It has none, or one that cannot be read.
pub(super) fn of(headers: &HeaderMap) -> Result<Condition, ConditionError> {
    let mut tags = Vec::new();
    let mut lines = headers.get_all(IF_MATCH).peekable();
    lines.peek().ok_or(ConditionError::Missing)?;
    for line in lines {
        let line = line.to_str().map_err(|_| ConditionError::Malformed)?.trim();
        // The RFC's own example has it in quotes.
        if ["*", "\"*\""].contains(&line) {
            return Ok(Condition::Any);
        }
        read(line, &mut tags).ok_or(ConditionError::Malformed)?;
    }
    if tags.len() > MAX_TAGS { Err(ConditionError::Malformed) } else { Ok(Condition::Tags(tags)) }
}

/// Adds the strong ones; a weak one never matches. `None`: it is no list of entity tags.
fn read(mut line: &str, tags: &mut Vec<String>) -> Option<()> {
    while !line.is_empty() {
        let (weak, rest) = match line.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (tag, rest) = rest.strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        tags.extend((!weak).then(|| tag.to_owned()));
        let rest = rest.trim_start();
        line = if rest.is_empty() { rest } else { rest.strip_prefix(',')?.trim_start() };
    }
    Some(())
}

/// The header's value, made anew.
pub(in crate::http) fn if_match(condition: &Condition) -> String {
    match condition {
        Condition::Any => "*".to_owned(),
        Condition::Tags(tags) => {
            tags.iter().map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(lines: &[&str]) -> Result<Condition, ConditionError> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_str(line).unwrap());
        }
        of(&headers)
    }

    #[test]
    fn it_is_any_or_a_list() {
        let tags =
            |tags: &[&str]| Ok(Condition::Tags(tags.iter().map(ToString::to_string).collect()));
        assert_eq!(read(&[]), Err(ConditionError::Missing));
        assert_eq!(read(&["*"]), Ok(Condition::Any));
        assert_eq!(read(&["\"*\""]), Ok(Condition::Any));
        assert_eq!(read(&["\"a,b\""]), tags(&["a,b"]));
        assert_eq!(read(&["\"a\" , W/\"b\",\"\"", "\"c\""]), tags(&["a", "", "c"]));
        assert_eq!(read(&["W/\"a\""]), tags(&[]), "matches nothing");
        for wrong in ["a", "\"a", "a\"", "\"a\" \"b\"", "*, \"a\"", "w/\"a\""] {
            assert_eq!(read(&[wrong]), Err(ConditionError::Malformed), "{wrong}");
        }
        let many = vec!["\"a\""; MAX_TAGS + 1].join(",");
        assert_eq!(read(&[&many]), Err(ConditionError::Malformed));
    }

    #[test]
    fn it_is_the_same_when_it_is_forwarded() {
        for lines in [&["*"][..], &["\"a,b\"", "\"c\""]] {
            let condition = read(lines).unwrap();
            assert_eq!(read(&[&if_match(&condition)]), Ok(condition));
        }
    }
}
