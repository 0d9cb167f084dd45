//! A table as Markdown: for a page that people read.

use super::Table;
use super::grids::LEGEND;
use crate::problem::printable;
use crate::report::Table as Grid;

impl Table {
    /// The whole table, its footnote last.
    pub fn markdown(&self) -> String {
        let mut text: String = self.grids().iter().map(block).collect();
        for note in &self.notes {
            text.push_str(&format!("- {}\n", harmless(note)));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text.extend(self.differing().iter().map(block));
        format!("{text}{LEGEND}\n")
    }
}

/// A grid under its caption.
fn block(grid: &Grid) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| harmless(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = |at: usize| if at >= grid.numbers_from { "---:" } else { "---" }.to_owned();
    let rules: Vec<String> = (0..grid.head.len()).map(rule).collect();
    let rows: String = grid.rows.iter().map(|row| line(row)).collect();
    let rule = format!("| {} |\n", rules.join(" | "));
    format!("**{}**\n\n{}{rule}{rows}\n", harmless(&grid.caption), line(&grid.head))
}

/// `text` in which nothing is markup.
fn harmless(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        match letter {
            '\n' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' => escaped.extend(['\\', letter]),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_cell() {
        assert_eq!(harmless("a|b\n<img> [x](y) \u{1b}[0m"), "a\\|b &lt;img> \\[x\\](y) \u{fffd}\\[0m");
    }
}
