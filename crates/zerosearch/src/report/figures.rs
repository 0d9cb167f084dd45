//! The figures: which quantities of a run are shown as curves, in their order.

use super::chart::{Chart, Line};
use super::series::{Quantity, Series};
use super::source::Source;
use Quantity::{Number, Share};

/// A chart that is drawn wherever a run has its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// The name of its plot's file.
    pub(super) name: &'static str,
    title: &'static str,
    unit: &'static str,
    /// What is shown, and what the legend calls it where there are several.
    quantities: &'static [(&'static str, Quantity)],
}

const fn figure(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    quantities: &'static [(&'static str, Quantity)],
) -> Figure {
    Figure { name, title, unit, quantities }
}

/// Every figure.
pub(super) const FIGURES: &[Figure] = &[
    figure("reward", "Reward", "mean of the step", &[("", Number("reward/mean"))]),
    figure("exact-match", "Exact match in training", "share of conversations", &[("", Number("score/em"))]),
    figure("f1", "F1 in training", "mean of the step", &[("", Number("score/f1"))]),
    figure(
        "evaluation",
        "Evaluation on the way",
        "mean over data sets",
        &[("F1", Number("val/mean/f1")), ("EM", Number("val/mean/em"))],
    ),
    figure("answered", "Conversations with an answer", "share", &[("", Number("env/finish_ratio"))]),
    figure("searches", "Searches", "per question", &[("", Number("tool_call_counts/mean"))]),
    figure("turns", "Turns", "per question", &[("", Number("num_turns/mean"))]),
    figure(
        "response-length",
        "Response length",
        "tokens of the policy",
        &[("", Number("response_length/mean"))],
    ),
    figure(
        "simulator-answers",
        "Simulator: calls whose documents hold an answer",
        "share of calls",
        &[("told useful", Number("sim/useful_ratio")), ("told noisy", Number("sim/leak_rate"))],
    ),
    figure(
        "simulator-documents",
        "Simulator: documents",
        "share of those asked for",
        &[
            ("written", Share("sim/documents_got", "sim/documents_asked")),
            ("repeated", Share("sim/repeated", "sim/documents_asked")),
            ("empty", Share("sim/empty", "sim/documents_asked")),
        ],
    ),
    figure(
        "simulator-calls",
        "Simulator: mishaps",
        "per call",
        &[("failed", Share("sim/errors", "sim/calls")), ("rewritten", Share("sim/rewritten", "sim/calls"))],
    ),
    figure("loss", "Loss", "nats per token", &[("", Number("sft/loss"))]),
    figure(
        "kl",
        "KL to the reference",
        "nats per token",
        &[("in the loss", Number("actor/kl_loss")), ("in the reward", Number("critic/kl"))],
    ),
    figure("mismatch-kl", "KL of training to sampling", "nats per token", &[("", Number("mismatch_kl"))]),
    figure("entropy", "Entropy", "nats per token", &[("", Number("actor/entropy"))]),
    figure("gradient-norm", "Gradient norm", "before clipping", &[("", Number("actor/grad_norm"))]),
    figure("learning-rate", "Learning rate", "", &[("", Number("actor/lr"))]),
    figure("clipped", "Clipped ratios", "share of tokens", &[("", Number("actor/pg_clipfrac"))]),
    figure(
        "equal-rewards",
        "Groups whose rewards are all equal",
        "share of groups",
        &[("", Number("reward/frac_zero_std"))],
    ),
    figure("broken", "Broken conversations", "share", &[("", Number("env/broken_ratio"))]),
    figure("throughput", "Speed", "tokens per second", &[("", Number("perf/throughput"))]),
    figure(
        "step-time",
        "Time of a step",
        "seconds",
        &[("conversations", Number("timing_s/gen")), ("update", Number("timing_s/update_actor"))],
    ),
];

impl Figure {
    /// The chart of those of `sources` whose verb is `verb`, where any of them has a number for it.
    pub(super) fn chart(&self, sources: &[Source], verb: &str) -> Option<Chart> {
        let of_verb = |source: &Source| source.record.as_ref().is_some_and(|record| record.verb == verb);
        let shown: Vec<(usize, &Source)> =
            sources.iter().enumerate().filter(|(_, source)| of_verb(source) && self.is_in(source)).collect();
        let mut lines = Vec::new();
        for (colour, source) in &shown {
            let quantities = self.quantities.iter().enumerate();
            let known = quantities.map(|(dashes, (label, quantity))| Line {
                name: name_of(&source.name, label, shown.len()),
                colour: *colour,
                dashes,
                series: Series::of(&source.rows, *quantity),
            });
            lines.extend(known.filter(|line| !line.series.known().is_empty()));
        }
        let chart =
            Chart { title: self.title.into(), unit: self.unit.into(), lines, noise: noise_of(&shown) };
        (!chart.is_empty()).then_some(chart)
    }

    fn is_in(&self, source: &Source) -> bool {
        let known = |quantity: &Quantity| source.rows.iter().any(|row| quantity.of(row).is_some());
        self.quantities.iter().any(|(_, quantity)| known(quantity))
    }
}

/// The curves of one verb's runs.
#[derive(Clone, Debug)]
pub(super) struct Album {
    pub(super) verb: String,
    /// Each with the name of its plot's file.
    pub(super) charts: Vec<(&'static str, Chart)>,
    /// Titles of what was 0 at every step.
    pub(super) zero: Vec<String>,
}

/// The curves of `sources`: runs of different verbs are not laid over each other, their steps mean different things.
pub(super) fn albums(sources: &[Source]) -> Vec<Album> {
    let mut verbs: Vec<&str> = Vec::new();
    for record in sources.iter().filter_map(|source| source.record.as_ref()) {
        if !verbs.contains(&record.verb.as_str()) {
            verbs.push(&record.verb);
        }
    }
    let albums = verbs.into_iter().map(|verb| {
        let charts = FIGURES.iter().filter_map(|figure| Some((figure.name, figure.chart(sources, verb)?)));
        let (zero, charts): (Vec<_>, Vec<_>) = charts.partition(|(_, chart)| chart.is_zero());
        Album {
            verb: verb.to_owned(),
            charts,
            zero: zero.into_iter().map(|(_, chart)| chart.title).collect(),
        }
    });
    albums.filter(|album| !(album.charts.is_empty() && album.zero.is_empty())).collect()
}

fn name_of(source: &str, label: &str, sources: usize) -> String {
    match (label, sources) {
        ("", _) => source.to_owned(),
        (label, 1) => label.to_owned(),
        (label, _) => format!("{source}: {label}"),
    }
}

/// The noise schedules of `shown`, each once.
fn noise_of(shown: &[(usize, &Source)]) -> Vec<(usize, Series)> {
    let mut schedules: Vec<(usize, Series)> = Vec::new();
    for (number, source) in shown {
        let noise = Series::of(&source.rows, Number("curriculum/noise_prob"));
        let is_new = schedules.iter().all(|(_, known)| *known != noise);
        if is_new && noise.known().iter().any(|(_, chance)| *chance > 0.0) {
            schedules.push((*number, noise));
        }
    }
    schedules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_figures_are_unique_file_names() {
        let mut names: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
        assert!(
            names
                .iter()
                .all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIGURES.len());
    }
}
