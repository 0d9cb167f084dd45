//! A table as plain text: for the terminal.

use super::Table;
use super::grids::LEGEND;
use crate::problem::printable;
use crate::report::Table as Grid;

/// Columns of a terminal that a grid is laid out for; what is wider goes on below.
const WIDTH: usize = 120;
/// Blanks between two columns.
const GAP: usize = 2;

impl Table {
    /// The whole table, with what it means.
    pub fn text(&self) -> String {
        let mut text: String = self.grids().iter().map(|grid| block(grid) + "\n").collect();
        for note in &self.notes {
            text.push_str(&one_line(note));
            text.push('\n');
        }
        if let Some(grid) = self.differing() {
            text.push('\n');
            text.push_str(&block(&grid));
        }
        format!("{}\n\n{LEGEND}\n", text.trim_end())
    }
}

/// A grid under its caption, in as many pieces as its width asks for, each with the first column.
fn block(grid: &Grid) -> String {
    let all: Vec<Vec<String>> = std::iter::once(&grid.head)
        .chain(&grid.rows)
        .map(|row| row.iter().map(|cell| one_line(cell)).collect())
        .collect();
    let width = |at: usize| all.iter().map(|row: &Vec<String>| row[at].chars().count()).max().unwrap_or(0);
    let mut text = format!("{}\n", one_line(&grid.caption));
    let mut next = 1;
    while next < grid.head.len() {
        let mut columns = vec![0, next];
        let mut taken = width(0) + GAP + width(next);
        next += 1;
        while next < grid.head.len() && taken + GAP + width(next) <= WIDTH {
            taken += GAP + width(next);
            columns.push(next);
            next += 1;
        }
        for row in &all {
            let cells = columns.iter().map(|&at| format!("{:<1$}", row[at], width(at) + GAP));
            let line: String = cells.collect();
            text.push_str("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if next < grid.head.len() {
            text.push('\n');
        }
    }
    text
}

fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\u{fffd}")
}
