//! Checks: the ranges and names that a value must be in.

use std::fmt::Display;

use super::Complaint;

/// A number from `low` to `high`, both allowed.
pub(super) fn between<T: PartialOrd + Display>(key: &str, value: T, low: T, high: T) -> Result<T, Complaint> {
    if value >= low && value <= high {
        return Ok(value);
    }
    Err(Complaint::new(key, &value, format!("must be from {low} to {high}")))
}

/// A number of at least `low` that is finite, and no other zero, in 32 bits: models compute in those.
pub(super) fn at_least(key: &str, value: f64, low: f64) -> Result<f64, Complaint> {
    if value.is_finite() && value >= low {
        return held(key, value);
    }
    Err(Complaint::new(key, value, format!("must be a number of at least {low}")))
}

/// A number above 0 that is so in 32 bits too.
pub(super) fn positive(key: &str, value: f64) -> Result<f64, Complaint> {
    if value.is_finite() && value > 0.0 {
        return held(key, value);
    }
    Err(Complaint::new(key, value, "must be a number above 0"))
}

/// `value`, if its 32-bit rounding is neither infinite nor, unless `value` is, 0.
fn held(key: &str, value: f64) -> Result<f64, Complaint> {
    let rounded = value as f32;
    if rounded.is_finite() && (rounded != 0.0 || value == 0.0) {
        return Ok(value);
    }
    let value = format!("{value:e}");
    Err(Complaint::new(key, value, "is beyond what 32 bits hold: from 1.4e-45 to 3.4e38 in size"))
}

/// A count of at least 1.
pub(super) fn some(key: &str, value: usize) -> Result<usize, Complaint> {
    if value >= 1 { Ok(value) } else { Err(Complaint::new(key, value, "must be at least 1")) }
}

/// A path or a name that is not empty.
pub(super) fn named(key: &str, value: String) -> Result<String, Complaint> {
    if value.trim().is_empty() {
        return Err(Complaint::new(key, "\"\"", "must not be empty"));
    }
    Ok(value)
}

/// One of the names of a closed set.
pub(super) fn one_of<T: Copy>(key: &str, value: &str, names: &[(&str, T)]) -> Result<T, Complaint> {
    if let Some((_, meaning)) = names.iter().find(|(name, _)| *name == value) {
        return Ok(*meaning);
    }
    let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let complaint =
        Complaint::new(key, format!("\"{value}\""), format!("must be one of {}", known.join(", ")));
    Err(match nearest(value, &known) {
        Some(name) => complaint.hint(format!("did you mean \"{name}\"?")),
        None => complaint,
    })
}

/// The known name that was probably meant: the most alike, where any is alike enough.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    const ALIKE: f64 = 0.7;
    let likeness = |name: &str| strsim::jaro_winkler(&written.to_lowercase(), name);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_their_ends_and_refuse_what_is_not_a_number() {
        assert_eq!(between("a", 0.5, 0.5, 1.0), Ok(0.5));
        assert_eq!(between("a", 1.0, 0.5, 1.0), Ok(1.0));
        assert!(between("a", f64::NAN, 0.0, 1.0).is_err());
        assert!(at_least("a", f64::INFINITY, 0.0).is_err());
        assert!(positive("a", 0.0).is_err());
        assert!(positive("a", 1e-38).is_ok());
        assert!(positive("a", 1e-60).is_err(), "0 in 32 bits");
        assert!(positive("a", 1e60).is_err(), "infinite in 32 bits");
        assert!(at_least("a", 0.0, 0.0).is_ok() && at_least("a", 1e-60, 0.0).is_err());
        assert_eq!(
            between("curriculum.noise_end", 1.5, 0.0, 1.0).unwrap_err().to_string(),
            "curriculum.noise_end = 1.5: must be from 0 to 1"
        );
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("groupsize", &["group_size", "steps"]), Some("group_size"));
        assert_eq!(nearest("zzz", &["group_size", "steps"]), None);
    }
}
