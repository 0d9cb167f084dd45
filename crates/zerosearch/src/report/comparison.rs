//! A comparison: what evaluations found, side by side and question by question.

use std::collections::BTreeSet;

use super::answers::Answers;
use super::source::Source;
use super::table::Table;
use super::whiskers::{Whisker, Whiskers};
use crate::eval::{Interval, Intervals, Score, Summary};

/// In place of a recipe's hash where there is none.
const UNKNOWN: &str = "unknown";

/// One evaluation under the name that the report gives it.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) title: String,
    /// The number of its source.
    pub(super) source: usize,
    pub(super) summary: Option<Summary>,
    pub(super) answers: Answers,
}

/// Every evaluation of `sources`, in their order.
pub(super) fn examined(sources: &[Source]) -> anyhow::Result<Vec<Examined>> {
    let mut all = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        for evaluation in &source.evaluations {
            all.push(Examined {
                title: source.title_of(evaluation),
                source: number,
                summary: evaluation.summary.clone(),
                answers: Answers::read(&evaluation.rows)?,
            });
        }
    }
    Ok(all)
}

/// The scores of every evaluation, for each data set and over all.
pub(super) fn scores(all: &[Examined]) -> Option<Table> {
    let head = [
        "evaluation",
        "data set",
        "questions",
        "EM",
        "sub-EM",
        "F1",
        "answered",
        "broken",
        "searches",
        "recipe",
    ];
    let caption = "Scores with 95 % bootstrap intervals over the questions";
    let mut table = Table::new(&format!("{caption}{}", warning(all)), &head);
    table.numbers_from = 2;
    for it in all {
        let Some(summary) = &it.summary else { continue };
        for (name, intervals) in sets(summary) {
            let mut row = vec![it.title.clone(), name.to_owned(), intervals.questions.to_string()];
            row.extend([intervals.em, intervals.sub_em, intervals.f1].map(spread));
            let whole = name == "all" || summary.sources.len() == 1;
            row.extend(if whole { of_all(summary) } else { Default::default() });
            table.push(row);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// The data sets of `summary`, and all together where there are several.
fn sets(summary: &Summary) -> Vec<(&str, &Intervals)> {
    let named = summary.sources.iter().map(|(name, intervals)| (name.as_str(), intervals));
    let together = (summary.sources.len() != 1).then_some(("all", &summary.all));
    named.chain(together).collect()
}

fn of_all(summary: &Summary) -> [String; 4] {
    let answered = format!("{} of {}", summary.answered, summary.questions);
    let recipe = summary.recipe.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    [answered, summary.broken.to_string(), format!("{:.2}", summary.searches_per_question), recipe]
}

/// What has to be said where numbers that were not obtained in the same way stand side by side.
fn warning(all: &[Examined]) -> &'static str {
    let summaries = all.iter().filter_map(|it| it.summary.as_ref());
    let recipes: BTreeSet<Option<&String>> = summaries.map(|it| it.recipe.as_ref()).collect();
    if recipes.len() > 1 || recipes.contains(&None) && all.len() > 1 {
        ". Their recipes differ, or are not known: zerosearch compare says in what"
    } else {
        ""
    }
}

fn spread(it: Interval) -> String {
    format!("{:.3} ({:.3} to {:.3})", it.mean, it.low, it.high)
}

/// What changed from the first evaluation to each later one that shares questions with it: differences of the same
/// questions, which are surer than differences of means.
pub(super) fn changes(all: &[Examined]) -> Option<Table> {
    let (first, rest) = all.split_first()?;
    let head = ["from", "to", "shared questions", "EM", "sub-EM", "F1"];
    let caption = "Differences on the questions that both answered, with 95 % bootstrap intervals";
    let mut table = Table::new(&format!("{caption}{}", warning(all)), &head);
    table.numbers_from = 2;
    for later in rest {
        let found = Score::ALL.map(|score| later.answers.scores.difference(&first.answers.scores, score));
        if found[0].paired == 0 {
            continue;
        }
        let mut row = vec![first.title.clone(), later.title.clone(), found[0].paired.to_string()];
        row.extend(found.iter().filter_map(|it| it.all).map(signed));
        table.push(row);
    }
    (!table.rows.is_empty()).then_some(table)
}

fn signed(it: Interval) -> String {
    format!("{:+.3} ({:+.3} to {:+.3})", it.mean, it.low, it.high)
}

/// A picture of F1 and one of exact match, each with its intervals.
pub(super) fn pictures(all: &[Examined]) -> Vec<(&'static str, Whiskers)> {
    let picture = |name, title: &str, score: fn(&Intervals) -> Interval| {
        let whiskers: Vec<Whisker> = all.iter().flat_map(|it| whiskers_of(it, score)).collect();
        (name, Whiskers { title: title.into(), whiskers })
    };
    let both = [
        picture("evaluation-f1", "Evaluation: F1", |it| it.f1),
        picture("evaluation-em", "Evaluation: exact match", |it| it.em),
    ];
    both.into_iter().filter(|(_, picture)| !picture.whiskers.is_empty()).collect()
}

fn whiskers_of(it: &Examined, score: fn(&Intervals) -> Interval) -> Vec<Whisker> {
    let Some(summary) = &it.summary else { return Vec::new() };
    let sets = sets(summary);
    let alone = sets.len() == 1;
    let named = |name: &str| if alone { it.title.clone() } else { format!("{}: {name}", it.title) };
    let whisker = |(name, intervals): (&str, &Intervals)| Whisker {
        name: named(name),
        colour: it.source,
        interval: score(intervals),
    };
    sets.into_iter().map(whisker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;

    fn answers(f1: &[(&str, f32)]) -> Answers {
        let rows: Vec<(&str, &str, f32)> = f1.iter().map(|(id, f1)| ("nq", *id, *f1)).collect();
        Answers { scores: eval::Answers::of_f1(&rows), ..Answers::default() }
    }

    fn it(title: &str, f1: &[(&str, f32)]) -> Examined {
        Examined { title: title.into(), source: 0, summary: None, answers: answers(f1) }
    }

    #[test]
    fn evaluations_by_different_recipes_are_not_side_by_side_without_a_word() {
        let by = |recipe: Option<&str>| {
            let summary = eval::summarize(&[], zerosearch_learner::seed::Seed::run(1));
            let summary = Summary { recipe: recipe.map(ToOwned::to_owned), ..summary };
            Examined { summary: Some(summary), ..it("some", &[("a", 1.0)]) }
        };
        let caption = |all: &[Examined]| changes(all).unwrap().caption;
        assert!(!caption(&[by(Some("one")), by(Some("one"))]).contains("recipes"));
        for other in [Some("two"), None] {
            let all = [by(Some("one")), by(other)];
            assert!(caption(&all).contains("recipes differ"), "{other:?}");
            assert!(scores(&all).unwrap().caption.contains("recipes differ"));
        }
        assert_eq!(scores(&[by(Some("one"))]).unwrap().rows[0].last().unwrap(), "one");
    }

    /// By hand: of the shared questions b and c one rises by 1, one stays, 0.5 in the mean.
    #[test]
    fn only_shared_questions_are_compared() {
        let all = [
            it("before", &[("a", 1.0), ("b", 0.0), ("c", 0.5)]),
            it("after", &[("b", 1.0), ("c", 0.5), ("d", 0.0)]),
        ];
        let table = changes(&all).unwrap();
        assert_eq!(table.rows[0][..3], ["before", "after", "2"]);
        assert_eq!(table.rows[0][5], "+0.500 (+0.000 to +1.000)");
        assert!(changes(&[it("a", &[("a", 1.0)]), it("b", &[("b", 1.0)])]).is_none());
        assert!(changes(&[]).is_none() && scores(&all).is_none());
    }
}
