//! Normalisation: what exact match, containment and F1 disregard before they compare.

/// Lower-cases, deletes ASCII punctuation, removes the words `a`, `an` and `the`, and joins what is left by single
/// spaces, in this order: the rules of SQuAD (arXiv 1606.05250), by which open-domain question answering is scored.
/// Accents and punctuation outside ASCII stay.
pub fn normalize(text: &str) -> String {
    let kept: String = text.to_lowercase().chars().filter(|letter| !letter.is_ascii_punctuation()).collect();
    without_articles(&kept).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Replaces each article by a space. An article is a run of letters and digits: the one in `“the end”` counts though
/// the quotation mark touches it.
fn without_articles(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        let (before, from_word) = rest.split_at(start);
        let end = from_word.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(from_word.len());
        let (word, after) = from_word.split_at(end);
        kept.push_str(before);
        kept.push_str(if matches!(word, "a" | "an" | "the") { " " } else { word });
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::normalize;

    /// The "normalised" column of the golden vectors that the reference functions produced.
    #[test]
    fn matches_the_reference() {
        for (text, normalised) in [
            ("Beijing, China", "beijing china"),
            ("London", "london"),
            ("the Beijing.", "beijing"),
            ("U.S.A.", "usa"),
            ("an Apple-pie", "applepie"),
            ("a cat and a dog", "cat and dog"),
            ("Beyoncé", "beyoncé"),
            ("“Hello”", "“hello”"),
            ("yes", "yes"),
            ("the", ""),
            ("", ""),
            ("it is 1931 or 1932 or 1933", "it is 1931 or 1932 or 1933"),
        ] {
            assert_eq!(normalize(text), normalised, "{text}");
        }
    }

    /// `\b(a|an|the)\b` of the reference matches between a letter and any other character, and nowhere inside a word.
    #[test]
    fn articles_are_whole_words() {
        assert_eq!(normalize("“The End” of Theatre"), "“ end” of theatre");
        assert_eq!(normalize("Vitamin A\tand\n ANd  an5"), "vitamin and and an5");
        assert_eq!(normalize("th.e"), "", "punctuation goes first, so what it split becomes a word");
    }
}
