//! A budget: where a run's time and tokens went, and what its searches would have cost elsewhere.

use super::comparison::Examined;
use super::source::Source;
use super::table::{Table, duration, grouped};
use crate::run::Row;

/// Sums over the steps of a run.
struct Sums<'a>(&'a [Row]);

impl Sums<'_> {
    fn of(&self, name: &str) -> f64 {
        self.0.iter().filter_map(|row| row.get(name)).sum()
    }

    /// The sum of a mean over conversations times their number.
    fn over_conversations(&self, mean: &str) -> f64 {
        self.0.iter().filter_map(|row| Some(row.get(mean)? * sound_conversations(row))).sum()
    }
}

/// Conversations of a step that are not broken: what means are taken over.
fn sound_conversations(row: &Row) -> f64 {
    ["answered", "out_of_turns", "out_of_tokens"]
        .iter()
        .filter_map(|ending| row.get(&format!("endings/{ending}")))
        .sum()
}

/// Time and tokens of each stage of every run.
pub(super) fn stages(sources: &[Source], all: &[Examined]) -> Option<Table> {
    let head = ["", "stage", "time", "share", "tokens", "of which"];
    let mut table = Table::new("Time and tokens by stage", &head);
    table.numbers_from = 2;
    for source in sources.iter().filter(|source| !source.rows.is_empty()) {
        let rows = if source.rows.iter().any(|row| row.get("sft/loss").is_some()) {
            fine_tuning(&Sums(&source.rows))
        } else {
            training(&Sums(&source.rows))
        };
        rows.into_iter().for_each(|stage| table.push(stage.cells(&source.name)));
    }
    for it in all.iter().filter(|it| sources[it.source].rows.is_empty()) {
        table.push(examination(it).cells(&it.title));
    }
    (!table.rows.is_empty()).then_some(table)
}

/// One line of the table.
struct Stage {
    name: &'static str,
    seconds: Option<f64>,
    /// Of the whole run.
    share: Option<f64>,
    tokens: Option<f64>,
    remark: String,
}

impl Stage {
    fn cells(&self, source: &str) -> Vec<String> {
        let seconds = self.seconds.map_or_else(|| "not recorded".into(), duration);
        let share = self.share.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0));
        let tokens = self.tokens.map_or_else(String::new, count);
        vec![source.to_owned(), self.name.to_owned(), seconds, share, tokens, self.remark.clone()]
    }
}

fn count(number: f64) -> String {
    grouped(number.round() as u64)
}

fn training(sums: &Sums<'_>) -> Vec<Stage> {
    let whole = sums.of("timing_s/step");
    let stage = |name, key: &str, tokens: Option<f64>, remark: String| {
        let seconds = sums.of(key);
        Stage { name, seconds: Some(seconds), share: share(seconds, whole), tokens, remark }
    };
    let all = sums.over_conversations("sequence_length/mean");
    let (prompts, policy, documents) = (
        sums.over_conversations("prompt_length/mean"),
        sums.over_conversations("response_length/mean"),
        sums.over_conversations("documents/tokens_mean"),
    );
    let parts =
        format!("policy {}, documents {}, prompts {}", count(policy), count(documents), count(prompts));
    let trained = sums.of("batch/policy_tokens");
    vec![
        stage("conversations", "timing_s/gen", Some(all), parts),
        stage("reference", "timing_s/ref", None, String::new()),
        stage("update", "timing_s/update_actor", Some(trained), "the policy's, in groups that teach".into()),
        stage("evaluation", "timing_s/eval", None, String::new()),
        stage("all steps", "timing_s/step", Some(all), String::new()),
    ]
}

fn fine_tuning(sums: &Sums<'_>) -> Vec<Stage> {
    let seconds = sums.of("timing_s/step");
    let read = |row: &Row| Some(row.get("perf/throughput")? * row.get("timing_s/step")?);
    let tokens: f64 = sums.0.iter().filter_map(read).sum();
    let remark = format!("trained on {}", count(sums.of("sft/trained_tokens")));
    vec![Stage { name: "fine-tuning", seconds: Some(seconds), share: None, tokens: Some(tokens), remark }]
}

fn examination(it: &Examined) -> Stage {
    let effort = it.answers.effort;
    let tokens = effort.prompt_tokens + effort.policy_tokens + effort.shown_tokens;
    let (policy, documents, prompts) =
        (grouped(effort.policy_tokens), grouped(effort.shown_tokens), grouped(effort.prompt_tokens));
    Stage {
        name: "evaluation",
        seconds: None,
        share: None,
        tokens: Some(tokens as f64),
        remark: format!("policy {policy}, documents {documents}, prompts {prompts}"),
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then_some(part / whole)
}

/// What the searches of each run and evaluation would have cost at a search API, where a price is given.
pub(super) fn searches(sources: &[Source], all: &[Examined], price_per_1000: Option<f64>) -> Option<Table> {
    let counted = sources.iter().filter_map(|source| {
        let searches = Sums(&source.rows).of("env/number_of_valid_search");
        (searches > 0.0).then(|| (format!("{}, training", source.name), searches as u64))
    });
    let examined = all.iter().map(|it| (format!("{}, evaluation", it.title), it.answers.effort.searches));
    let entries: Vec<(String, u64)> = counted.chain(examined).collect();
    let total: u64 = entries.iter().map(|(_, searches)| searches).sum();
    let mut table = match price_per_1000 {
        Some(price) => {
            let at = format!("cost at {price} per 1,000");
            Table::new("Searches, and what a search API would have taken for them", &["", "searches", &at])
        }
        None => Table::new("Searches", &["", "searches"]),
    };
    let together = (entries.len() > 1).then(|| ("together".to_owned(), total));
    for (name, searches) in entries.into_iter().chain(together) {
        let cost = price_per_1000.map(|price| format!("{:.2}", price * searches as f64 / 1000.0));
        table.push([name, grouped(searches)].into_iter().chain(cost).collect());
    }
    (total > 0).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 3 sound conversations of 10 tokens and 1 of 20 are 50; 2.5 of 4 seconds are 62.5 %.
    #[test]
    fn tokens_and_shares_are_sums_over_the_steps() {
        let step = |number: u64, sound: f64, length: f64| {
            let mut row = Row::at(number);
            row.put("endings/answered", sound).put("endings/broken", 5.0).put("sequence_length/mean", length);
            row.put("timing_s/gen", 1.25).put("timing_s/step", 2.0);
            row
        };
        let rows = [step(1, 3.0, 10.0), step(2, 1.0, 20.0)];
        let stages = training(&Sums(&rows));
        assert_eq!(stages[0].cells("run")[..5], ["run", "conversations", "2.5 s", "62.5 %", "50"]);
        assert_eq!(stages.last().map(|stage| stage.cells("run")[3].clone()).as_deref(), Some("100.0 %"));
    }
}
