//! The names of algorithms: those this version has, and those that users of other trainers will look for.

/// The algorithms that a configuration may name.
pub const ALGORITHMS: [&str; 2] = ["reinforce", "grpo"];

/// Names from elsewhere, and what comes nearest here.
const ELSEWHERE: [(&str, Option<&str>); 14] = [
    ("ppo", None),
    ("gae", None),
    ("rloo", Some("`reinforce` with baseline `leave_one_out` has the same advantage")),
    ("dr_grpo", Some("`grpo` with std `none` has the same advantage")),
    ("dapo", Some("`grpo` with `clip_high` above `clip_low` has its clipping")),
    ("gspo", None),
    ("cispo", None),
    ("sapo", None),
    ("remax", None),
    ("opo", None),
    ("gpg", None),
    ("reinforce_plus_plus", Some("`reinforce` with baseline `batch_mean` is close to it")),
    ("reinforce_plus_plus_baseline", Some("`reinforce` with baseline `leave_one_out` is close to it")),
    ("maxrl", None),
];

/// Why `name` cannot be had, where it is the name of a known algorithm that this version leaves out. Spelling with
/// hyphens, spaces or capitals is recognised.
pub fn refuse(name: &str) -> Option<String> {
    let plain = name.trim().to_lowercase().replace("++", "_plus_plus").replace(['-', ' ', '.'], "_");
    let plain = plain.replace("__", "_");
    let (known, nearest) = ELSEWHERE.iter().find(|(known, _)| *known == plain)?;
    let nearest = nearest.map(|nearest| format!("; {nearest}")).unwrap_or_default();
    Some(format!(
        "`{known}` is not in this version, which has {}{nearest}",
        ALGORITHMS.map(|it| format!("`{it}`")).join(" and ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_of_other_trainers_are_refused_by_name() {
        assert_eq!(refuse("PPO").unwrap(), "`ppo` is not in this version, which has `reinforce` and `grpo`");
        assert!(refuse("rloo").unwrap().ends_with("`leave_one_out` has the same advantage"));
        for spelling in ["REINFORCE++", "reinforce-plus-plus", "reinforce_plus_plus"] {
            assert!(refuse(spelling).unwrap().starts_with("`reinforce_plus_plus` is not"), "{spelling}");
        }
        assert!(refuse("Dr. GRPO").is_some() && refuse("dr-grpo").is_some());
    }

    #[test]
    fn what_exists_and_what_nobody_knows_is_not_refused_here() {
        for name in ALGORITHMS.into_iter().chain(["gropo", ""]) {
            assert_eq!(refuse(name), None, "{name}");
        }
    }
}
