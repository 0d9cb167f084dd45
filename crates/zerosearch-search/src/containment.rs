//! Containment: whether a text holds a golden answer.
//!
//! Both are normalised in the manner of SQuAD's scorer (lower case, no punctuation, no articles), then the golden
//! answer's words have to stand in the text side by side as whole words. Three things differ, because here a missed
//! answer and an accidental one both mislead: hyphens and slashes separate words instead of gluing them, a possessive
//! `'s` is dropped, and points stay inside numbers.

use crate::Document;

/// The golden answers of one question, prepared for looking them up in many texts.
#[derive(Clone, Debug)]
pub struct Golds {
    wanted: Vec<Wanted>,
}

#[derive(Clone, Debug)]
enum Wanted {
    /// Whole words, side by side.
    Words(Vec<String>),
    /// Scripts without spaces between words: the letters, side by side.
    Letters(String),
}

impl Golds {
    /// Prepares `golds`. Those that no text can meaningfully hold are left out: blank ones, and the verdicts "yes"
    /// and "no", which stand in documents by accident.
    pub fn new<'a>(golds: impl IntoIterator<Item = &'a str>) -> Self {
        Self { wanted: golds.into_iter().filter_map(wanted).collect() }
    }

    /// Whether there is anything to look for. Texts are not counted for or against a question without it.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether one stands in the title or the text of `document`.
    pub fn in_document(&self, document: &Document) -> bool {
        self.in_text(&format!("{} {}", document.title, document.text))
    }

    /// Whether `text` holds any of the golden answers.
    pub fn in_text(&self, text: &str) -> bool {
        let with_articles = all_words(text);
        let words: Vec<&String> = with_articles.iter().filter(|word| !is_article(word)).collect();
        self.wanted.iter().any(|wanted| match wanted {
            Wanted::Letters(letters) => with_articles.concat().contains(letters.as_str()),
            // An answer that is an article ("A", the vitamin) is looked for among all words.
            Wanted::Words(gold) if gold.iter().any(|word| is_article(word)) => {
                with_articles.windows(gold.len()).any(|window| window == gold.as_slice())
            }
            Wanted::Words(gold) => words.windows(gold.len()).any(|window| window.iter().copied().eq(gold)),
        })
    }
}

fn wanted(gold: &str) -> Option<Wanted> {
    let mut words = all_words(gold);
    if words.iter().any(|word| !is_article(word)) {
        words.retain(|word| !is_article(word));
    }
    match words.as_slice() {
        [] => None,
        [word] if word == "yes" || word == "no" => None,
        _ if words.iter().any(|word| word.chars().any(is_unspaced)) => Some(Wanted::Letters(words.concat())),
        _ => Some(Wanted::Words(words)),
    }
}

/// The words of `text` after normalisation; two texts with the same words count as the same document.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = all_words(text);
    words.retain(|word| !is_article(word));
    words
}

fn is_article(word: &str) -> bool {
    matches!(word, "a" | "an" | "the")
}

/// Chinese characters, Japanese kana and Thai: written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Lower-case words without punctuation, articles included.
fn all_words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.to_lowercase().chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut at = 0;
    while at < chars.len() {
        match read_sign(&chars, at, &word) {
            Sign::Letter(c) => word.push(c),
            Sign::Dropped => {}
            Sign::Possessive => at += 1,
            Sign::Border => words.push(std::mem::take(&mut word)),
        }
        at += 1;
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

enum Sign {
    Letter(char),
    Dropped,
    /// An apostrophe together with the `s` behind it.
    Possessive,
    Border,
}

/// What the character at `at` does to the `word` that is being read.
fn read_sign(chars: &[char], at: usize, word: &str) -> Sign {
    let next = chars.get(at + 1).copied();
    let between_digits =
        word.ends_with(|c: char| c.is_ascii_digit()) && next.is_some_and(|c| c.is_ascii_digit());
    match chars[at] {
        c if c.is_alphanumeric() => Sign::Letter(c),
        // Combining marks are part of their letter.
        c @ '\u{300}'..='\u{36f}' => Sign::Letter(c),
        '\'' | '’' | '`' => {
            let ends = chars.get(at + 2).is_none_or(|c| !c.is_alphanumeric());
            if next == Some('s') && ends && !word.is_empty() { Sign::Possessive } else { Sign::Dropped }
        }
        '.' if between_digits => Sign::Letter('.'),
        ',' if between_digits => Sign::Dropped,
        // U.S.: the points of an abbreviation go, its letters stay together.
        '.' if ends_with_initial(chars, at) && next.is_some_and(char::is_alphanumeric) => Sign::Dropped,
        _ => Sign::Border,
    }
}

/// Whether a single letter stands before `at`, as in an abbreviation.
fn ends_with_initial(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|i| chars[i]);
    before(1).is_some_and(char::is_alphabetic) && before(2).is_none_or(|c| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(gold: &str, text: &str) -> bool {
        Golds::new([gold]).in_text(text)
    }

    #[test]
    fn case_punctuation_and_articles_do_not_matter() {
        assert!(holds("The Great Gatsby", "He read \"great, gatsby!\" twice."));
        assert!(holds("Jean-Luc Picard", "captain Jean Luc Picard"));
        assert!(holds("New York", "a New York-based firm"));
        assert!(holds("U.S.", "the US army") && holds("US", "the U.S. army"));
        assert!(holds("1,000", "1000 men") && holds("3.5", "about 3.5, they say"));
        assert!(holds("Paris", "Paris's streets") && holds("McDonald's", "a McDonald’s"));
        assert!(holds("England", "He left England.The war went on."));
    }

    #[test]
    fn only_whole_words_count() {
        assert!(!holds("US", "the bus stopped"));
        assert!(!holds("19", "in 1945"));
        assert!(!holds("art", "the start"));
        assert!(!holds("New York", "new in York"));
    }

    #[test]
    fn an_article_can_be_an_answer() {
        assert!(holds("A", "vitamin A"));
        assert!(!holds("A", "vitamin C"));
    }

    #[test]
    fn verdicts_and_blanks_are_not_looked_for() {
        assert!(Golds::new(["yes", "No.", " ", "?!"]).is_empty());
        assert!(!Golds::new(["yes"]).in_text("yes"));
        assert!(!Golds::new(["Yes Minister"]).is_empty());
    }

    #[test]
    fn any_of_several_golds_is_enough() {
        assert!(Golds::new(["Gotham", "NYC"]).in_text("flights to NYC"));
    }

    #[test]
    fn scripts_without_spaces_are_searched_by_letters() {
        assert!(holds("東京", "日本の首都は東京です"));
        assert!(!holds("京都", "日本の首都は東京です"));
    }
}
