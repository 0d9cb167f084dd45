//! A chart: one quantity by step, for one run or several, with the noise schedule behind.

use super::axis::{Axis, figure};
use super::series::Series;
use super::svg::{Anchor, Drawing, Ink, Point, Stroke, shortened, stroke, width_of};

const WIDTH: f64 = 380.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 46.0;
const BOTTOM: f64 = 34.0;
const PLOT_HEIGHT: f64 = 170.0;
const LEGEND_ROW: f64 = 16.0;
/// Labels at line ends keep this distance.
const LABEL_GAP: f64 = 12.0;

/// One line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What the legend calls it.
    pub(super) name: String,
    /// Its colour: the number of its run.
    pub(super) colour: usize,
    /// Its pattern of dashes: which of the chart's quantities it is.
    pub(super) dashes: usize,
    /// Its numbers.
    pub(super) series: Series,
}

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// What is shown.
    pub(super) title: String,
    /// In which unit.
    pub(super) unit: String,
    /// The lines, those of one run beside each other.
    pub(super) lines: Vec<Line>,
    /// The chance of noise by step, of the run whose number stands beside it.
    pub(super) noise: Vec<(usize, Series)>,
}

/// A chart's axes and where they lie.
struct Frame {
    steps: Axis,
    values: Axis,
    top: f64,
}

impl Frame {
    fn bottom(&self) -> f64 {
        self.top + PLOT_HEIGHT
    }

    fn point(&self, (step, value): (f64, f64)) -> Point {
        let right = self.steps.place(step, (LEFT, WIDTH - RIGHT));
        (right, self.values.place(value, (self.bottom(), self.top)))
    }

    /// Chances of noise fill the height from 0 to 1, whatever the values' axis shows.
    fn noise_point(&self, (step, chance): (f64, f64)) -> Point {
        let right = self.steps.place(step, (LEFT, WIDTH - RIGHT));
        (right, self.bottom() - chance.clamp(0.0, 1.0) * PLOT_HEIGHT)
    }
}

impl Chart {
    /// Whether there is a number to show.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.series.known().is_empty())
    }

    /// Whether every number is 0: a sentence tells that better than a picture.
    pub(super) fn is_zero(&self) -> bool {
        self.lines.iter().all(|line| line.series.known().iter().all(|(_, value)| *value == 0.0))
    }

    /// The chart as an SVG image.
    pub(super) fn svg(&self) -> String {
        let legend = self.legend();
        let top = 32.0 + LEGEND_ROW * legend.len() as f64;
        let known = || self.lines.iter().flat_map(|line| line.series.known());
        let frame = Frame {
            steps: Axis::of_steps(known().map(|(step, _)| step), 6),
            values: Axis::of_values(known().map(|(_, value)| value), 5),
            top,
        };
        let mut drawing = Drawing::new(WIDTH, frame.bottom() + BOTTOM);
        drawing.title((8.0, 18.0), &self.title);
        for (row, entries) in legend.iter().enumerate() {
            draw_legend(&mut drawing, 36.0 + LEGEND_ROW * row as f64, entries);
        }
        self.draw_noise(&mut drawing, &frame);
        self.draw_axes(&mut drawing, &frame);
        for line in &self.lines {
            draw_line(&mut drawing, &frame, line);
        }
        self.label_ends(&mut drawing, &frame);
        let unit = if self.unit.is_empty() { String::new() } else { format!(" ({})", self.unit) };
        drawing.finish(&format!("{}{unit} by step", self.title))
    }

    /// The rows of the legend: as many entries in a row as fit. One line needs none.
    fn legend(&self) -> Vec<Vec<&Line>> {
        let mut rows: Vec<Vec<&Line>> = Vec::new();
        let mut used = f64::INFINITY;
        for line in self.lines.iter().filter(|_| self.lines.len() > 1) {
            let width = entry_width(line);
            if used + width > WIDTH - 8.0 {
                rows.push(Vec::new());
                used = 8.0;
            }
            used += width;
            rows.last_mut().into_iter().for_each(|row| row.push(line));
        }
        rows
    }

    fn draw_noise(&self, drawing: &mut Drawing, frame: &Frame) {
        for (place, (run, noise)) in self.noise.iter().enumerate() {
            let points: Vec<Point> =
                noise.known().into_iter().map(|point| frame.noise_point(point)).collect();
            let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
            if place == 0 {
                let mut area = points.clone();
                area.extend([(last.0, frame.bottom()), (first.0, frame.bottom())]);
                drawing.area(&area, Ink::Noise);
            } else {
                drawing.line(&points, Ink::Line(*run), Stroke { width: 1.0, opacity: 0.5, dashes: 2 });
            }
        }
        let known: Vec<(f64, f64)> = self.noise.iter().flat_map(|(_, noise)| noise.known()).collect();
        let most = known.iter().map(|(_, chance)| *chance).fold(0.0, f64::max);
        if most > 0.0 {
            let words = format!("shaded: noise, up to {:.0} %", most * 100.0);
            drawing.text((WIDTH - RIGHT - 32.0, frame.bottom() + 30.0), Anchor::End, Ink::Faint, &words);
        }
    }

    fn draw_axes(&self, drawing: &mut Drawing, frame: &Frame) {
        for mark in frame.values.marks() {
            let (_, height) = frame.point((0.0, *mark));
            drawing.line(&[(LEFT, height), (WIDTH - RIGHT, height)], Ink::Grid, stroke(1.0));
            let words = frame.values.words(*mark);
            drawing.text((LEFT - 6.0, height + 4.0), Anchor::End, Ink::Faint, &words);
        }
        for mark in frame.steps.marks() {
            let (right, _) = frame.point((*mark, 0.0));
            let foot = frame.bottom();
            drawing.line(&[(right, foot), (right, foot + 4.0)], Ink::Grid, stroke(1.0));
            drawing.text((right, foot + 16.0), Anchor::Middle, Ink::Faint, &frame.steps.words(*mark));
        }
        let foot = frame.bottom() + 30.0;
        drawing.text((WIDTH - RIGHT, foot), Anchor::End, Ink::Faint, "step");
        drawing.text((8.0, foot), Anchor::Start, Ink::Faint, &self.unit);
    }

    /// The last number of each line beside its end, moved apart where they would overlap.
    fn label_ends(&self, drawing: &mut Drawing, frame: &Frame) {
        let mut labels: Vec<(f64, Ink, String)> =
            self.lines.iter().filter_map(|line| end_of(frame, line)).collect();
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = frame.top;
        let below = |at: usize, count: usize| (count - at - 1) as f64 * LABEL_GAP;
        let count = labels.len();
        for (at, (height, ink, words)) in labels.iter().enumerate() {
            let height = height.min(frame.bottom() + 4.0 - below(at, count)).max(free);
            free = height + LABEL_GAP;
            drawing.text((WIDTH - RIGHT + 5.0, height), Anchor::Start, *ink, words);
        }
    }
}

fn entry_width(line: &Line) -> f64 {
    34.0 + width_of(&shortened(&line.name, 40))
}

fn draw_legend(drawing: &mut Drawing, height: f64, entries: &[&Line]) {
    let mut left = 8.0;
    for line in entries {
        let mark = Stroke { width: 2.5, opacity: 1.0, dashes: line.dashes };
        drawing.line(&[(left, height - 4.0), (left + 18.0, height - 4.0)], Ink::Line(line.colour), mark);
        drawing.text((left + 22.0, height), Anchor::Start, Ink::Strong, &shortened(&line.name, 40));
        left += entry_width(line);
    }
}

/// The numbers as they are, faint where a smoothed line lies over them; a stretch of one is a dot.
fn draw_line(drawing: &mut Drawing, frame: &Frame, line: &Line) {
    let ink = Ink::Line(line.colour);
    let smooth: Vec<Point> = line.series.smooth().into_iter().map(|point| frame.point(point)).collect();
    let bold = Stroke { width: 2.2, opacity: 1.0, dashes: line.dashes };
    let raw = if smooth.is_empty() { bold } else { Stroke { width: 1.0, opacity: 0.4, dashes: 0 } };
    for stretch in line.series.stretches() {
        let points: Vec<Point> = stretch.into_iter().map(|point| frame.point(point)).collect();
        if points.len() == 1 || smooth.is_empty() {
            points.iter().for_each(|point| drawing.dot(*point, 2.5, ink));
        }
        if points.len() > 1 {
            drawing.line(&points, ink, raw);
        }
    }
    drawing.line(&smooth, ink, bold);
}

fn end_of(frame: &Frame, line: &Line) -> Option<(f64, Ink, String)> {
    let (step, value) = line.series.smooth().pop().or_else(|| line.series.known().pop())?;
    let (_, height) = frame.point((step, value));
    Some((height + 4.0, Ink::Line(line.colour), figure(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::series::Quantity;
    use crate::run::Row;

    fn line(name: &str, values: &[f64]) -> Line {
        let row = |(step, value): (usize, &f64)| {
            let mut row = Row::at(step as u64 + 1);
            row.put("a", *value);
            row
        };
        let rows: Vec<Row> = values.iter().enumerate().map(row).collect();
        Line { name: name.into(), colour: 0, dashes: 0, series: Series::of(&rows, Quantity::Number("a")) }
    }

    fn chart(lines: Vec<Line>) -> Chart {
        Chart { title: "Reward".into(), unit: "F1".into(), lines, noise: Vec::new() }
    }

    #[test]
    fn one_step_is_a_dot_with_its_number() {
        let image = chart(vec![line("run", &[0.25])]).svg();
        assert_eq!((image.matches("<circle").count(), image.matches(">0.250<").count()), (1, 1), "{image}");
    }

    #[test]
    fn a_chart_without_numbers_is_empty_and_can_still_be_drawn() {
        let empty = chart(vec![line("run", &[f64::NAN, f64::NAN])]);
        assert!(empty.is_empty() && empty.svg().starts_with("<svg "));
    }

    #[test]
    fn several_lines_have_a_legend_and_labels_that_do_not_overlap() {
        let image = chart(vec![line("first", &[0.5, 0.5]), line("second", &[0.5, 0.5])]).svg();
        assert!(image.contains(">first<") && image.contains(">second<"));
        let heights: Vec<f64> = image
            .lines()
            .filter(|line| line.contains(">0.500<"))
            .filter_map(|line| line.split("y=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert!(heights.len() == 2 && heights[1] - heights[0] >= LABEL_GAP - 0.1, "{heights:?}");
    }
}
