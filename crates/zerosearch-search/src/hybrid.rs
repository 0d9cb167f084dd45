//! A hybrid engine: what words find and what vectors find, put into one order by reciprocal rank fusion (Cormack,
//! Clarke and Büttcher 2009):
//!     score(d) = sum over both of 1 / (60 + rank of d)        a document that one did not find gets nothing from it

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{Bm25Engine, Boxed, DenseEngine, Document, Query, SearchEngine, SearchError};

/// How little the first ranks stand out: the paper's constant.
const RANK_CONSTANT: f32 = 60.0;
/// Documents of each engine that are fused, or `k` where that is more.
const DEPTH: usize = 100;
const ENGINE: &str = "hybrid";

/// BM25 and a dense engine over one corpus.
///
/// Equal queries get equal documents. Equal scores come in the order of the best rank, BM25's first.
#[derive(Clone, Debug)]
pub struct HybridEngine {
    words: Bm25Engine,
    vectors: DenseEngine,
}

impl HybridEngine {
    /// Fuses the two.
    ///
    /// # Errors
    /// When they do not search the same passages in the same order.
    pub fn new(words: Bm25Engine, vectors: DenseEngine) -> Result<Self, SearchError> {
        let (one, other) = (words.index().digest(), vectors.index().digest());
        if one != other {
            let short = |digest: &str| digest.chars().take(12).collect::<String>();
            let problem = format!(
                "BM25 searches the corpus {} and the dense index was made of {}; make both of one file",
                short(one),
                short(other)
            );
            return Err(SearchError::setting("hybrid", problem));
        }
        Ok(Self { words, vectors })
    }

    async fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        let deep = Query { k: query.k.max(DEPTH), ..query.clone() };
        query.check(DEPTH)?;
        let (words, vectors) = futures::try_join!(self.words.search(&deep), self.vectors.search(&deep))?;
        let mut fused = fuse([words, vectors]);
        fused.truncate(query.k);
        Ok(fused)
    }
}

/// All documents of both lists, best first.
fn fuse(lists: [Vec<Document>; 2]) -> Vec<Document> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut fused: Vec<(f32, Document)> = Vec::new();
    for list in lists {
        for (rank, document) in (1_u16..).zip(list) {
            let share = 1.0 / (RANK_CONSTANT + f32::from(rank));
            let id = document.provenance.id.clone().unwrap_or_default();
            match places.get(&id) {
                Some(&place) => fused[place].0 += share,
                None => {
                    places.insert(id, fused.len());
                    fused.push((share, document));
                }
            }
        }
    }
    // Stable: what was found first stays first among equals.
    fused.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let named = |(score, mut document): (f32, Document)| {
        document.provenance.engine = ENGINE.into();
        document.provenance.score = Some(score);
        document
    };
    fused.into_iter().map(named).collect()
}

impl SearchEngine for HybridEngine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.answer(query))
    }

    fn name(&self) -> &str {
        ENGINE
    }

    fn identity(&self) -> String {
        let part =
            |identity: String| serde_json::from_str::<Value>(&identity).unwrap_or(Value::String(identity));
        json!({
            "engine": ENGINE,
            "fused": [part(self.words.identity()), part(self.vectors.identity())],
            "rank_constant": RANK_CONSTANT,
            "depth": DEPTH,
        })
        .to_string()
    }
}
