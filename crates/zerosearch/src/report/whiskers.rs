//! Whiskers: means with their intervals, one below the other on one axis.

use super::axis::Axis;
use super::svg::{Anchor, Drawing, Ink, shortened, stroke};
use crate::eval::Interval;

const WIDTH: f64 = 380.0;
const LEFT: f64 = 12.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const ROW: f64 = 34.0;

/// One mean.
#[derive(Clone, Debug)]
pub(super) struct Whisker {
    pub(super) name: String,
    /// Its colour: the number of its source.
    pub(super) colour: usize,
    pub(super) interval: Interval,
}

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Whiskers {
    pub(super) title: String,
    pub(super) whiskers: Vec<Whisker>,
}

impl Whiskers {
    /// The picture as an SVG image.
    pub(super) fn svg(&self) -> String {
        let foot = TOP + ROW * self.whiskers.len() as f64 + 4.0;
        let axis = Axis::of_values(self.whiskers.iter().map(|it| it.interval.high), 6);
        let place = |value: f64| axis.place(value, (LEFT, WIDTH - RIGHT));
        let mut drawing = Drawing::new(WIDTH, foot + 22.0);
        drawing.title((8.0, 18.0), &self.title);
        for mark in axis.marks() {
            drawing.line(&[(place(*mark), TOP - 4.0), (place(*mark), foot)], Ink::Grid, stroke(1.0));
            drawing.text((place(*mark), foot + 15.0), Anchor::Middle, Ink::Faint, &axis.words(*mark));
        }
        for (row, it) in self.whiskers.iter().enumerate() {
            let height = TOP + ROW * row as f64 + 22.0;
            let ink = Ink::Line(it.colour);
            let Interval { mean, low, high } = it.interval;
            let words = format!("{}  {mean:.3} ({low:.3} to {high:.3})", shortened(&it.name, 36));
            drawing.text((LEFT + 2.0, height - 10.0), Anchor::Start, Ink::Strong, &words);
            drawing.line(&[(place(low), height), (place(high), height)], ink, stroke(2.0));
            for end in [low, high] {
                drawing.line(&[(place(end), height - 4.0), (place(end), height + 4.0)], ink, stroke(2.0));
            }
            drawing.dot((place(mean), height), 4.0, ink);
        }
        drawing.finish(&format!("{} with 95 % intervals", self.title))
    }
}
