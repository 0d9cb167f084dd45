//! Plots: a report's pictures as files, SVG for pages and papers, PNG for everything else.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::run::replace;

/// Roboto 2.138 (Apache-2.0), cut down to the Latin letters, Greek and signs: a PNG looks the same on every machine.
const FONT: &[u8] = include_bytes!("font/Roboto-Regular-Latin.ttf");

/// Pixels for each unit of the drawing.
const SCALE: f32 = 3.0;

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// The name of its files.
    pub(super) name: String,
    pub(super) svg: String,
}

/// Writes `plots` to `folder`, each as `<name>.svg` and `<name>.png`.
pub(super) fn write(folder: &Path, plots: &[Plot]) -> Result<()> {
    let failed = || format!("the plots cannot be written to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    let options = Options { font_family: "Roboto".into(), fontdb: Arc::new(fonts), ..Options::default() };
    for plot in plots {
        let file = |ending: &str| folder.join(format!("{}.{ending}", plot.name));
        replace(&file("svg"), plot.svg.as_bytes()).with_context(failed)?;
        replace(&file("png"), &png(&plot.svg, &options)?).with_context(failed)?;
    }
    Ok(())
}

fn png(svg: &str, options: &Options<'_>) -> Result<Vec<u8>> {
    let tree = Tree::from_str(svg, options).context("a plot is no valid SVG")?;
    let size = tree.size().to_int_size().scale_by(SCALE).context("a plot is too large for a PNG")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).context("a plot is too large for a PNG")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().context("a plot cannot be written as PNG")
}
