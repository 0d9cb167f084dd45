//! A drawing: shapes of an SVG image in the order in which they are drawn, every word escaped.
//!
//! Colours stand twice: as attributes, which are right on white paper and which every program understands, and as
//! class names, over which a page's style sheet lays the colours of a dark screen.

use std::fmt::Write;

/// Colours of lines that stay apart on white for those who see fewer colours, too; further lines start over.
const LINES: [&str; 8] =
    ["#0065a8", "#c2410c", "#00795a", "#93328e", "#7a6200", "#00788a", "#b3264e", "#4a4a4a"];

/// What is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Words that are read first.
    Strong,
    /// Words beside.
    Faint,
    /// Lines that guide the eye.
    Grid,
    /// The noise schedule behind a curve.
    Noise,
    /// One of the lines, by its number.
    Line(usize),
}

impl Ink {
    fn class(self) -> String {
        match self {
            Self::Strong => "strong".into(),
            Self::Faint => "faint".into(),
            Self::Grid => "grid".into(),
            Self::Noise => "noise".into(),
            Self::Line(number) => format!("line{}", number % LINES.len()),
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Strong => "#1b1f24",
            Self::Faint => "#57606a",
            Self::Grid => "#d9dde2",
            Self::Noise => "#e6e2d6",
            Self::Line(number) => LINES[number % LINES.len()],
        }
    }
}

/// Where words stand beside their point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) width: f64,
    pub(super) opacity: f64,
    /// Which pattern of dashes; 0 is a whole line.
    pub(super) dashes: usize,
}

/// A whole line of this width.
pub(super) fn stroke(width: f64) -> Stroke {
    Stroke { width, opacity: 1.0, dashes: 0 }
}

const DASHES: [&str; 4] = ["", "6 3", "2 3", "8 3 2 3"];

/// An image of a given size that is being drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

/// A point: right, down.
pub(super) type Point = (f64, f64);

impl Drawing {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(super) fn text(&mut self, at: Point, anchor: Anchor, ink: Ink, words: &str) {
        self.sized_text(at, anchor, (ink, 11.0), words);
    }

    pub(super) fn title(&mut self, at: Point, words: &str) {
        self.sized_text(at, Anchor::Start, (Ink::Strong, 13.5), words);
    }

    fn sized_text(&mut self, (x, y): Point, anchor: Anchor, (ink, size): (Ink, f64), words: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (class, colour, words) = (ink.class(), ink.colour(), escaped(words));
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" class="word {class}" fill="{colour}" font-size="{size}" text-anchor="{anchor}">{words}</text>"#
        );
    }

    pub(super) fn line(&mut self, points: &[Point], ink: Ink, stroke: Stroke) {
        if points.is_empty() {
            return;
        }
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (class, colour, width) = (ink.class(), ink.colour(), stroke.width);
        let _ = write!(
            self.body,
            r#"<polyline points="{}" class="stroke {class}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round""#,
            path.join(" ")
        );
        if stroke.opacity < 1.0 {
            let _ = write!(self.body, r#" stroke-opacity="{}""#, stroke.opacity);
        }
        if stroke.dashes > 0 {
            let _ = write!(self.body, r#" stroke-dasharray="{}""#, DASHES[stroke.dashes % DASHES.len()]);
        }
        self.body.push_str("/>\n");
    }

    pub(super) fn area(&mut self, points: &[Point], ink: Ink) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (class, colour, points) = (ink.class(), ink.colour(), path.join(" "));
        let _ = writeln!(self.body, r#"<polygon points="{points}" class="fill {class}" fill="{colour}"/>"#);
    }

    pub(super) fn dot(&mut self, (x, y): Point, radius: f64, ink: Ink) {
        let (class, colour) = (ink.class(), ink.colour());
        let _ = writeln!(
            self.body,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" class="fill {class}" fill="{colour}"/>"#
        );
    }

    /// The image as a piece of a page and as the content of a file of its own. `name` is read out to those who
    /// cannot see it.
    pub(super) fn finish(self, name: &str) -> String {
        let (width, height, name) = (self.width, self.height, escaped(name));
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="{name}" font-family="Roboto, Helvetica, Arial, sans-serif">
<rect width="100%" height="100%" class="paper" fill="#ffffff"/>
{}</svg>
"##,
            self.body
        )
    }
}

/// How wide words are, about: the font is not measured.
pub(super) fn width_of(words: &str) -> f64 {
    words.chars().count() as f64 * 5.9
}

/// `words`, cut to at most `most` characters.
pub(super) fn shortened(words: &str, most: usize) -> String {
    if words.chars().count() <= most {
        return words.to_owned();
    }
    words.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `words` as they stand in XML and HTML; characters that XML forbids are replaced.
fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => text.push('\u{fffd}'),
            letter if letter.is_control() => text.push(' '),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_leave_their_element() {
        let mut drawing = Drawing::new(100.0, 50.0);
        drawing.text((1.0, 2.0), Anchor::End, Ink::Line(9), "</text><script>'\"&\u{1}");
        let image = drawing.finish("a \"name\"");
        assert!(image.contains(r##"class="word line1" fill="#c2410c" font-size="11" text-anchor="end">&lt;/text&gt;&lt;script&gt;&#39;&quot;&amp; </text>"##), "{image}");
        assert!(image.contains(r#"aria-label="a &quot;name&quot;""#));
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!((shortened("abc", 3), shortened("abcd", 3)), ("abc".into(), "ab…".into()));
    }
}
