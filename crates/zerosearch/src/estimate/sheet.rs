//! A sheet: figures, each with what it is made of and how it is known.

use std::fmt::Write;

use serde::Serialize;

use crate::config::Assumption;

/// How a figure is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// It stands in the recipe, or in the model's own files.
    Recipe,
    /// Nobody measured it: a default of `[cost]`.
    Assumed,
    /// It was written under `[cost]` by whoever asks.
    Written,
    /// It was measured.
    Measured,
    /// It follows from others.
    Computed,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// How it is known.
    pub basis: Basis,
    /// What it is made of.
    pub from: String,
}

/// Figures in the order in which they were found, under titles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sheet {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Part {
    title: String,
    figures: Vec<Figure>,
}

impl Sheet {
    /// What follows stands under `title`.
    pub(super) fn begin(&mut self, title: impl Into<String>) {
        self.parts.push(Part { title: title.into(), figures: Vec::new() });
    }

    /// A figure that follows from others, with its arithmetic. Gives its value back.
    pub(super) fn computed(&mut self, name: &str, (value, unit): (f64, &'static str), from: String) -> f64 {
        self.put(name, (value, unit), Basis::Computed, from)
    }

    /// A figure of the recipe or of a model's files.
    pub(super) fn given(&mut self, name: &str, (value, unit): (f64, &'static str), from: &str) -> f64 {
        self.put(name, (value, unit), Basis::Recipe, from.to_owned())
    }

    /// A figure that `source` measured.
    pub(super) fn measured(&mut self, name: &str, (value, unit): (f64, &'static str), source: &str) -> f64 {
        self.put(name, (value, unit), Basis::Measured, source.to_owned())
    }

    /// A figure of `[cost]`.
    pub(super) fn assumed(&mut self, name: &str, assumption: Assumption, unit: &'static str) -> f64 {
        let basis = if assumption.written { Basis::Written } else { Basis::Assumed };
        self.put(name, (assumption.value, unit), basis, assumption.key.to_owned())
    }

    fn put(&mut self, name: &str, (value, unit): (f64, &'static str), basis: Basis, from: String) -> f64 {
        let figure = Figure { name: name.to_owned(), value, unit, basis, from };
        match self.parts.last_mut() {
            Some(part) => part.figures.push(figure),
            None => self.parts.push(Part { title: String::new(), figures: vec![figure] }),
        }
        value
    }

    /// The figure called `name`.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.parts.iter().flat_map(|part| &part.figures).find(|figure| figure.name == name)
    }

    /// For people: a line for each figure.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Part { title, figures } in &self.parts {
            let _ = writeln!(text, "{title}");
            for figure in figures {
                let _ = writeln!(text, "{}", figure.line());
            }
            text.push('\n');
        }
        text.push_str(
            "ASSUMED: nobody measured it; set the key under [cost], or give `--run` or `--measured`.",
        );
        text
    }
}

impl Figure {
    fn line(&self) -> String {
        let from = match self.basis {
            Basis::Computed => format!("= {}", self.from),
            Basis::Recipe => self.from.clone(),
            Basis::Assumed => format!("ASSUMED, {}", self.from),
            Basis::Written => format!("as written, {}", self.from),
            Basis::Measured => format!("measured: {}", self.from),
        };
        let amount = format!("{} {}", amount(self.value), self.unit);
        format!("  {:<34} {:<22} {from}", self.name, amount.trim_end())
    }
}

/// A number with four digits at least, its thousands parted.
pub(super) fn amount(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size >= 1000.0 || value.fract() == 0.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 1.0 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut parted = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !parted.ends_with('-') {
            parted.push(',');
        }
        parted.push(digit);
    }
    if rest.is_empty() { parted } else { format!("{parted}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_four_digits_and_parted_thousands() {
        let told: Vec<String> =
            [0.0, 0.3, 1.475, 12.34, 320.0, 317.6, 7_615_616_512.0, -1234.0].map(amount).into();
        assert_eq!(told, ["0", "0.3000", "1.475", "12.34", "320", "317.6", "7,615,616,512", "-1,234"]);
    }

    #[test]
    fn a_figure_tells_how_it_is_known() {
        let mut sheet = Sheet::default();
        sheet.begin("A STEP");
        let key = "cost.searches";
        let one = sheet.assumed("searches", Assumption { key, value: 1.0, written: false }, "");
        let all = sheet.computed("calls", (320.0 * one, "calls"), "320 conversations x 1 search".into());
        sheet.assumed("other searches", Assumption { key, value: 2.0, written: true }, "");
        assert_eq!(all, 320.0);
        let text = sheet.text();
        for line in
            ["ASSUMED, cost.searches", "320 calls", "= 320 conversations x 1 search", "as written, cost"]
        {
            assert!(text.contains(line), "{text}");
        }
    }
}
