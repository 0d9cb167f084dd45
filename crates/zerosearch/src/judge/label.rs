//! Labels: which documents of a call count as useful.

use zerosearch_search::{Document, Golds, Label};

use super::{By, Call, Pair};
use crate::run::VERSION;

/// What is known about the documents of a call.
pub(super) enum Marks {
    /// One label for all of them.
    Call(Label),
    /// For each document whether it is useful, where that is known.
    Documents(Vec<Option<bool>>),
    /// Whether the conversation came to the right answer, and which documents hold a golden one, where that can be looked for.
    Both { is_right: bool, holding: Option<Vec<bool>> },
    /// Nothing, for this reason.
    Unknown(&'static str),
}

/// What the call itself shows; a judge model is asked elsewhere.
pub(super) fn mark(by: &By, call: &Call) -> Marks {
    match by {
        By::Answer { min_f1 } => match call.f1 {
            Some(f1) if f1 >= *min_f1 => Marks::Call(Label::Useful),
            Some(_) => Marks::Call(Label::Noisy),
            None => Marks::Unknown("no answer to judge by"),
        },
        By::Containment | By::Model(_) => match contained(call) {
            Some(held) => Marks::Documents(held.into_iter().map(Some).collect()),
            None => Marks::Unknown("no golden answer that can be looked for (yes, no)"),
        },
        By::Both { min_f1 } => {
            Marks::Both { is_right: call.f1.is_some_and(|f1| f1 >= *min_f1), holding: contained(call) }
        }
    }
}

/// Whether each document holds a golden answer; nothing where none can be looked for.
pub(super) fn contained(call: &Call) -> Option<Vec<bool>> {
    let golds = Golds::new(call.question.golden_answers.iter().map(String::as_str));
    let holds = |document| golds.in_document(document);
    (!golds.is_empty()).then(|| call.documents.iter().map(holds).collect())
}

/// The pairs of a call: one of all its documents, useful when any of them is; `per_document` one of the useful
/// documents and one of the noisy ones. The error is why there is none.
pub(super) fn pairs_of(call: &Call, marks: &Marks, per_document: bool) -> Result<Vec<Pair>, &'static str> {
    let known = match marks {
        Marks::Unknown(reason) => return Err(reason),
        Marks::Call(label) => return Ok(vec![pair(call, *label, call.documents.clone())]),
        Marks::Both { is_right, holding } => return both(call, *is_right, holding.as_deref()),
        Marks::Documents(known) => known,
    };
    if per_document {
        let of = |label, useful| pair(call, label, chosen(call, known, Some(useful)));
        let pairs = [of(Label::Useful, true), of(Label::Noisy, false)];
        let pairs: Vec<Pair> = pairs.into_iter().filter(|pair| !pair.documents.is_empty()).collect();
        return if pairs.is_empty() { Err(NO_VERDICT) } else { Ok(pairs) };
    }
    let label = match known {
        known if known.contains(&Some(true)) => Label::Useful,
        known if known.contains(&None) => return Err(NO_VERDICT),
        _ => Label::Noisy,
    };
    Ok(vec![pair(call, label, call.documents.clone())])
}

/// All documents where the answer was right; those without a golden answer where another holds one.
fn both(call: &Call, is_right: bool, holding: Option<&[bool]>) -> Result<Vec<Pair>, &'static str> {
    let mut pairs = Vec::new();
    if is_right {
        pairs.push(pair(call, Label::Useful, call.documents.clone()));
    }
    if let Some(holding) = holding.filter(|holding| holding.contains(&true) && holding.contains(&false)) {
        pairs.push(pair(call, Label::Noisy, chosen(call, holding, false)));
    }
    if pairs.is_empty() {
        Err("no right answer, nor a document to tell from one with a golden answer")
    } else {
        Ok(pairs)
    }
}

/// The documents of `call` with the mark `wanted`.
fn chosen<T: PartialEq>(call: &Call, marks: &[T], wanted: T) -> Vec<Document> {
    let marked = call.documents.iter().zip(marks).filter(|(_, mark)| **mark == wanted);
    marked.map(|(document, _)| document.clone()).collect()
}

const NO_VERDICT: &str = "no verdict on a document";

fn pair(call: &Call, label: Label, documents: Vec<Document>) -> Pair {
    Pair {
        version: VERSION,
        question: call.question.text.clone(),
        golden_answers: call.question.golden_answers.clone(),
        query: call.query.clone(),
        label,
        documents,
        from: call.from.clone(),
    }
}
