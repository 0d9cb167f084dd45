//! Prices: what searches and tokens would cost where they are sold.

use serde::Serialize;

use crate::eval::Tokens;

/// Prices in US dollars; what has none costs nothing. They are no part of a recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Prices {
    /// Of 1,000 searches.
    pub per_1000_searches: Option<f64>,
    /// Of a million tokens of the policy, handed to it or written by it.
    pub per_million_tokens: Option<f64>,
}

impl Prices {
    /// Whether anything has a price.
    pub(super) fn are_given(&self) -> bool {
        self.per_1000_searches.is_some() || self.per_million_tokens.is_some()
    }

    /// What 1,000 questions cost with so many searches and tokens each; nothing where no price is given, or where the
    /// tokens have one and are not known.
    pub(super) fn of_1000_questions(&self, searches: f64, tokens: Option<Tokens>) -> Option<f64> {
        let of_tokens = match (self.per_million_tokens, tokens) {
            (Some(price), tokens) => {
                let Tokens { written, prompted, .. } = tokens?;
                (written + prompted) * price / 1000.0
            }
            (None, _) => 0.0,
        };
        self.are_given().then(|| searches * self.per_1000_searches.unwrap_or(0.0) + of_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 2 searches a question are 2,000 for 1,000 questions, at 5 dollars a thousand 10; 100 + 900 tokens a question
    /// are a million, at 3 dollars 3.
    #[test]
    fn a_thousand_questions_cost_their_searches_and_their_tokens() {
        let tokens = Some(Tokens { written: 100.0, shown: 700.0, prompted: 900.0 });
        let prices = |searches, tokens| Prices { per_1000_searches: searches, per_million_tokens: tokens };
        assert_eq!(prices(Some(5.0), Some(3.0)).of_1000_questions(2.0, tokens), Some(13.0));
        assert_eq!(prices(Some(5.0), None).of_1000_questions(2.0, None), Some(10.0));
        assert_eq!(prices(Some(5.0), Some(3.0)).of_1000_questions(2.0, None), None);
        assert_eq!(prices(None, None).of_1000_questions(2.0, tokens), None);
    }
}
