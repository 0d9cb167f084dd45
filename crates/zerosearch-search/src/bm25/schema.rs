//! The schema: what of a passage is kept, and in which form.

use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};

use crate::corpus::Passage;

const ANALYZER: &str = "words";
/// The place in the corpus, from 0.
pub(super) const ROW: &str = "row";

/// The columns of an index.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    row: Field,
    id: Field,
    title: Field,
    text: Field,
    /// Title and text as they are searched.
    pub(super) all: Field,
}

impl Fields {
    pub(super) fn schema() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let counted = TextFieldIndexing::default()
            .set_tokenizer(ANALYZER)
            .set_index_option(IndexRecordOption::WithFreqs)
            .set_fieldnorms(true);
        let fields = Self {
            row: schema.add_u64_field(ROW, FAST),
            id: schema.add_text_field("id", STORED),
            title: schema.add_text_field("title", STORED),
            text: schema.add_text_field("text", STORED),
            all: schema.add_text_field("all", TextOptions::default().set_indexing_options(counted)),
        };
        (schema.build(), fields)
    }

    /// What the index keeps of the passage at `row`.
    pub(super) fn document(&self, row: u64, passage: &Passage) -> TantivyDocument {
        let Passage { id, title, text } = passage;
        let mut document = TantivyDocument::default();
        document.add_u64(self.row, row);
        for (field, value) in
            [(self.id, id), (self.title, title), (self.text, text), (self.all, title), (self.all, text)]
        {
            document.add_text(field, value);
        }
        document
    }

    /// The passage that was kept.
    pub(super) fn passage(&self, document: &TantivyDocument) -> Passage {
        let text =
            |field| document.get_first(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Passage { id: text(self.id), title: text(self.title), text: text(self.text) }
    }
}

/// The chains by which tantivy takes texts apart: one, of the words that count.
pub(super) fn tokenizers(analyzer: TextAnalyzer) -> TokenizerManager {
    let tokenizers = TokenizerManager::default();
    tokenizers.register(ANALYZER, analyzer);
    tokenizers
}
