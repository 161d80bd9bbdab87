//! Parsers of option values; each problem is a line that names its flag.

pub(crate) fn parse<T: std::str::FromStr>(
    problems: &mut Vec<String>,
    flag: &str,
    value: &str,
    wanted: &str,
) -> Option<T> {
    let parsed = value.trim().parse().ok();
    if parsed.is_none() {
        problems.push(format!("{flag}: `{value}` is not {wanted}"));
    }
    parsed
}

pub(crate) fn list<T: std::str::FromStr>(
    problems: &mut Vec<String>,
    flag: &str,
    value: &str,
    wanted: &str,
) -> Vec<T> {
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parsed: Vec<T> = parts.filter_map(|part| parse(problems, flag, part, wanted)).collect();
    if parsed.is_empty() && !problems.iter().any(|problem| problem.starts_with(flag)) {
        problems.push(format!("{flag}: at least one is needed, {wanted}"));
    }
    parsed
}

pub(crate) fn within(
    problems: &mut Vec<String>,
    flag: &str,
    value: &str,
    low: u32,
    high: u32,
) -> Option<u32> {
    let parsed = value.trim().parse().ok().filter(|number| (low..=high).contains(number));
    if parsed.is_none() {
        problems.push(format!("{flag}: `{value}` is not a number from {low} to {high}"));
    }
    parsed
}
