//! A page: everything that is said of the reported folders, as one file of HTML.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::budget;
use super::comparison::{Examined, changes, examined, pictures, scores};
use super::figures::{Album, albums};
use super::history::{Chapter, chapter, differences, facts};
use super::parts;
use super::plots::{self, Plot};
use super::sample::{Collection, sample};
use super::source::{Source, names, open_all};
use super::table::{Table, grouped};
use super::vocabulary::Vocabularies;
use crate::run::replace;

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The folders of runs and evaluations.
    pub folders: Vec<PathBuf>,
    /// The page to write.
    pub page: PathBuf,
    /// The folder in which every plot is written as SVG and as PNG.
    pub plots: Option<PathBuf>,
    /// What a thousand searches cost at a search API.
    pub price_per_1000_searches: Option<f64>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Bytes of the page.
    pub bytes: usize,
    /// Curves and other pictures.
    pub pictures: usize,
    /// Conversations in the page, and in the folders.
    pub conversations: (usize, u64),
    /// What the reader of the page has to know.
    pub remarks: Vec<String>,
}

/// Everything that the template shows.
#[derive(Serialize)]
struct Content {
    title: String,
    program: &'static str,
    facts: Table,
    differences: Option<Table>,
    chapters: Vec<Chapter>,
    scores: Option<Table>,
    changes: Option<Table>,
    evaluation_pictures: Vec<String>,
    albums: Vec<Curves>,
    journey: Option<Table>,
    stages: Option<Table>,
    searches: Option<Table>,
    price_is_given: bool,
    shown: String,
    all: String,
}

/// The curves of one verb's runs.
#[derive(Serialize)]
struct Curves {
    heading: &'static str,
    pictures: Vec<String>,
    zero: String,
}

/// Writes the report of `wanted`.
///
/// # Errors
/// Where a folder is none of a run or an evaluation, holds a broken file, or nothing can be written.
pub fn write(wanted: &Wanted) -> Result<Made> {
    let mut sources = open_all(&parts::expanded(&wanted.folders)?)?;
    let vocabularies = Vocabularies::of(&mut sources);
    let examined = examined(&sources)?;
    let collections = sample(&sources, &examined, &vocabularies)?;
    let albums = albums(&sources);
    let plots = drawn(&albums, &examined);
    let content = Content {
        journey: parts::stages(&wanted.folders)?,
        albums: albums.iter().map(curves).collect(),
        ..content(wanted, &sources, &examined, &collections)
    };
    let page = render(&content, &serde_json::to_string(&collections)?)?;
    write_page(&wanted.page, &page)?;
    if let Some(folder) = &wanted.plots {
        plots::write(folder, &plots)?;
    }
    let remark = |source: &Source| {
        source.remarks.iter().map(|remark| format!("{}: {remark}", source.name)).collect::<Vec<_>>()
    };
    Ok(Made {
        bytes: page.len(),
        pictures: plots.len(),
        conversations: counted(&collections),
        remarks: sources.iter().flat_map(remark).collect(),
    })
}

fn counted(collections: &[Collection]) -> (usize, u64) {
    (collections.iter().map(|it| it.items.len()).sum(), collections.iter().map(|it| it.all).sum())
}

/// Every picture, as files have it: those of a training under their own names, others under their verb's, too.
fn drawn(albums: &[Album], examined: &[Examined]) -> Vec<Plot> {
    let pictures = pictures(examined).into_iter();
    let mut plots: Vec<Plot> =
        pictures.map(|(name, picture)| Plot { name: name.to_owned(), svg: picture.svg() }).collect();
    for album in albums {
        let name = |figure: &str| match album.verb.as_str() {
            "train" => figure.to_owned(),
            verb => format!("{verb}-{figure}"),
        };
        plots
            .extend(album.charts.iter().map(|(figure, chart)| Plot { name: name(figure), svg: chart.svg() }));
    }
    plots
}

fn curves(album: &Album) -> Curves {
    let heading = match album.verb.as_str() {
        "train" => "Curves of training",
        "sft" => "Curves of fine-tuning",
        _ => "Curves",
    };
    let pictures = album.charts.iter().map(|(_, chart)| chart.svg()).collect();
    Curves { heading, pictures, zero: album.zero.join(", ") }
}

fn content(
    wanted: &Wanted,
    sources: &[Source],
    examined: &[Examined],
    collections: &[Collection],
) -> Content {
    let names = names(&wanted.folders);
    let (shown, all) = counted(collections);
    Content {
        title: names.join(", "),
        program: env!("CARGO_PKG_VERSION"),
        facts: facts(sources),
        differences: differences(sources),
        chapters: sources.iter().map(chapter).collect(),
        scores: scores(examined),
        changes: changes(examined),
        evaluation_pictures: pictures(examined).iter().map(|(_, picture)| picture.svg()).collect(),
        albums: Vec::new(),
        journey: None,
        stages: budget::stages(sources, examined),
        searches: budget::searches(sources, examined, wanted.price_per_1000_searches),
        price_is_given: wanted.price_per_1000_searches.is_some(),
        shown: grouped(shown as u64),
        all: grouped(all),
    }
}

/// The page. Its policy lets it run its own script and nothing else, and fetch nothing from anywhere.
fn render(content: &Content, conversations: &str) -> Result<String> {
    let mut environment = Environment::new();
    environment.add_template("page.html", TEMPLATE)?;
    // In JSON `<` stands in strings alone: written as an escape, no text can end the element that holds it.
    let data = conversations.replace('<', "\\u003c");
    let page = environment.get_template("page.html")?.render(context! {
        style => STYLE,
        style_hash => hash(STYLE),
        script => SCRIPT,
        script_hash => hash(SCRIPT),
        data => data,
        ..Value::from(Serde(content))
    });
    page.context("the page cannot be put together")
}

/// As a page's policy names a script: SHA-256 in base64.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

fn write_page(path: &Path, page: &str) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    replace(path, page.as_bytes()).with_context(failed)
}
