//! A prompt template: what the model that plays the engine is told, as a minijinja text.
//!
//! Variables: `question`, `golden_answers` (a list), `query`, `label` ("useful" or "noisy"), `label_title` ("Useful"
//! or "Noisy"), `k`, `k_word` ("five"), `words` (how many a document should have) and `labels` (one word for each
//! document). A template need not use all; one that uses another name is refused. A query without question or golden
//! answers is refused by a template that shows them for the wanted label.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest, Sha256};

use crate::{Label, QuestionContext, SearchError};

/// A prompt for the model that plays the engine.
#[derive(Clone, Debug)]
pub struct PromptTemplate {
    name: String,
    system: Option<String>,
    hash: String,
    environment: Arc<Environment<'static>>,
}

/// What is filled into a template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots<'a> {
    pub(super) context: Option<&'a QuestionContext>,
    pub(super) query: &'a str,
    pub(super) label: Label,
    /// One for each document that the prompt asks for.
    pub(super) labels: &'a [Label],
    pub(super) words: usize,
}

const INSTRUCT: &str = include_str!("../prompts/instruct.txt");
const TUNED: &str = include_str!("../prompts/tuned.txt");

impl PromptTemplate {
    /// A few-shot prompt for any instruction-tuned model. Asked for useful documents it shows the question and its
    /// golden answers; asked for noisy ones it shows neither, so that nothing can leak.
    pub fn instruct() -> Result<Self, SearchError> {
        Self::from_text("instruct", INSTRUCT)
    }

    /// The short prompt of simulators fine-tuned for the task; one word tells useful from noisy. With one golden
    /// answer and five documents of 30 words it is, byte for byte, the prompt that the published simulators were
    /// tuned on, empty system message included. Both labels show the question and all golden answers.
    pub fn tuned() -> Result<Self, SearchError> {
        Ok(Self { system: Some(String::new()), ..Self::from_text("tuned", TUNED)? })
    }

    /// A user's own template. `name` stands in messages; `text` is minijinja. Refused when it does not parse.
    pub fn from_text(name: &str, text: &str) -> Result<Self, SearchError> {
        let refuse = |why| SearchError::setting(format!("prompt template {name}"), explain(&why));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A prompt ends as its file ends.
        environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(refuse)?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_template_owned(NAME, text.to_owned()).map_err(refuse)?;
        let hash = Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: name.into(), system: None, hash, environment: Arc::new(environment) })
    }

    /// The same template with a system message of its own.
    #[must_use]
    pub fn with_system(self, system: Option<String>) -> Self {
        Self { system, ..self }
    }

    /// The template's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first 16 hexadecimal digits of the text's SHA-256.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn system(&self) -> Option<String> {
        self.system.clone()
    }

    /// The prompt for `slots`. What the query does not carry is missing from the variables, and a template that shows
    /// it refuses.
    pub(super) fn render(&self, slots: &Slots<'_>) -> Result<String, SearchError> {
        let text = self.render_raw(slots).map_err(|why| {
            let why = explain(&why);
            SearchError::BadQuery(format!("prompt template {} cannot be filled in: {why}", self.name))
        })?;
        Ok(text)
    }

    /// Renders with made-up values for both labels, so that what is wrong shows before anything depends on it.
    pub(super) fn try_out(&self, most_documents: usize, words: usize) -> Result<(), SearchError> {
        let context =
            QuestionContext { question: "Who?".into(), golden_answers: vec!["a".into(), "b".into()] };
        for k in [1, most_documents] {
            for label in [Label::Useful, Label::Noisy] {
                let labels = vec![label; k];
                let slots = Slots { context: Some(&context), query: "who", label, labels: &labels, words };
                let what = || format!("prompt template {}", self.name);
                let text =
                    self.render_raw(&slots).map_err(|why| SearchError::setting(what(), explain(&why)))?;
                if text.trim().is_empty() {
                    return Err(SearchError::setting(
                        what(),
                        format!("it is blank for {} documents", label.word()),
                    ));
                }
            }
        }
        Ok(())
    }

    fn render_raw(&self, slots: &Slots<'_>) -> Result<String, minijinja::Error> {
        let title = match slots.label {
            Label::Useful => "Useful",
            Label::Noisy => "Noisy",
        };
        let question = slots.context.map_or(Value::UNDEFINED, |it| Value::from(it.question.as_str()));
        let golds = slots.context.map(|it| it.golden_answers.clone()).filter(|golds| !golds.is_empty());
        let labels: Vec<&str> = slots.labels.iter().map(|label| label.word()).collect();
        self.environment.get_template(NAME)?.render(context! {
            question,
            golden_answers => golds.map_or(Value::UNDEFINED, Value::from),
            query => slots.query,
            label => slots.label.word(),
            label_title => title,
            k => labels.len(),
            k_word => number_word(labels.len()),
            words => slots.words,
            labels,
        })
    }
}

/// The only template's name inside its environment.
const NAME: &str = "prompt";

/// The engine's own words, with the line and without the internal name.
fn explain(why: &minijinja::Error) -> String {
    let detail = why.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let line = why.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    format!("{}{detail}{line}", why.kind())
}

/// "one" to "twenty"; digits beyond.
fn number_word(n: usize) -> String {
    const WORDS: [&str; 20] = [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    n.checked_sub(1).and_then(|i| WORDS.get(i)).map_or_else(|| n.to_string(), |word| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots<'a>(context: Option<&'a QuestionContext>, labels: &'a [Label]) -> Slots<'a> {
        Slots { context, query: "capital of France", label: labels[0], labels, words: 30 }
    }

    fn paris() -> QuestionContext {
        QuestionContext { question: "What is France's capital?".into(), golden_answers: vec!["Paris".into()] }
    }

    /// The text that the published simulators were tuned on, with this question's words in its slots.
    #[test]
    fn the_tuned_prompt_is_the_published_one() {
        let expected = "You are the Google search engine.\n\
            Given a query, you need to generate five noisy documents for the query.\n\
            \n\
            The user is trying to answer the question: \"What is France's capital?\" whose answer is Paris.\n\
            Each document should contain about 30 words, and these documents should contain noisy information.\n\
            \n\
            Query: capital of France\n\
            Noisy Output:\n";
        let template = PromptTemplate::tuned().unwrap();
        assert_eq!(template.render(&slots(Some(&paris()), &[Label::Noisy; 5])).unwrap(), expected);
        assert_eq!(template.system(), Some(String::new()));
    }

    #[test]
    fn all_golden_answers_are_shown() {
        let context = QuestionContext { golden_answers: vec!["NYC".into(), "New York".into()], ..paris() };
        let text =
            PromptTemplate::tuned().unwrap().render(&slots(Some(&context), &[Label::Useful; 3])).unwrap();
        assert!(
            text.contains("whose answer is NYC, New York.")
                && text.contains("generate three useful documents")
        );
    }

    #[test]
    fn the_noisy_few_shot_prompt_sees_neither_question_nor_answer() {
        let template = PromptTemplate::instruct().unwrap();
        let noisy = template.render(&slots(Some(&paris()), &[Label::Noisy; 5])).unwrap();
        assert!(!noisy.contains("France's") && !noisy.contains("Paris") && noisy.contains("Doc 5: "));
        assert_eq!(noisy, template.render(&slots(None, &[Label::Noisy; 5])).unwrap());
        assert!(!noisy.contains("1,345") && !noisy.contains("4,413"), "the noisy demo tells the height");
        let useful = template.render(&slots(Some(&paris()), &[Label::Useful; 2])).unwrap();
        assert!(useful.contains("France's capital") && useful.contains("answer is Paris."));
        assert!(useful.contains("Doc 2: ") && !useful.contains("Doc 3: ") && useful.contains("1,345"));
        assert!(useful.ends_with("Query: capital of France\nUseful output:\n"));
    }

    #[test]
    fn what_a_template_shows_must_come_with_the_query() {
        let tuned = PromptTemplate::tuned().unwrap();
        let no_golds = QuestionContext { golden_answers: vec![], ..paris() };
        for context in [None, Some(&no_golds)] {
            let why = tuned.render(&slots(context, &[Label::Noisy])).unwrap_err();
            assert!(matches!(why, SearchError::BadQuery(_)), "{why}");
        }
    }

    #[test]
    fn a_query_cannot_become_part_of_the_template() {
        let template = PromptTemplate::from_text("own", "{{ query }}|{{ labels | join(' ') }}").unwrap();
        let labels = [Label::Useful, Label::Noisy];
        let slots = Slots { query: "{{ golden_answers }} <b>", ..slots(None, &labels) };
        assert_eq!(template.render(&slots).unwrap(), "{{ golden_answers }} <b>|useful noisy");
    }

    #[test]
    fn mistakes_in_a_template_are_told_with_name_and_line() {
        let why = PromptTemplate::from_text("own.txt", "a\n{% if %}").unwrap_err().to_string();
        assert!(
            why.starts_with("prompt template own.txt cannot be used: ") && why.contains("line 2"),
            "{why}"
        );
        for (text, part) in
            [("{{ golds }}", "undefined"), ("{% if label == 'useful' %}x{% endif %}", "blank for noisy")]
        {
            let why =
                PromptTemplate::from_text("own.txt", text).unwrap().try_out(5, 30).unwrap_err().to_string();
            assert!(why.contains("own.txt") && why.contains(part), "{why}");
        }
    }

    /// `printf %s x | sha256sum`
    #[test]
    fn the_hash_is_that_of_the_text() {
        assert_eq!(PromptTemplate::from_text("x", "x").unwrap().hash(), "2d711642b726b044");
    }

    #[test]
    fn numbers_are_spelled_up_to_twenty() {
        assert_eq!([1, 5, 20, 21].map(number_word), ["one", "five", "twenty", "21"]);
    }
}
