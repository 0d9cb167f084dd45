//! BERT (Devlin et al. 2018): a transformer in which every token of a text sees every other.
//!
//! XLM-RoBERTa (Conneau et al. 2020) computes the same; its texts begin at the place after that of padding.
//! Texts are computed end to end, without padding: products with weights run over all their tokens at once, attention
//! over each text by itself.
//!
//! ```text
//! x = norm(word + position + type)
//! x = norm(x + out(attention(x)))          attention: softmax(q k^T / sqrt(width of a head)) v, head by head
//! x = norm(x + down(gelu(up(x))))
//! ```

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use serde::Deserialize;

use super::EncoderError;
use super::activation::{gelu, layer_norm, softmax};
use super::weights::Tensors;

/// The shape of a BERT as its `config.json` tells it.
#[derive(Debug, Deserialize)]
pub(super) struct BertConfig {
    pub(super) hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    layer_norm_eps: f32,
    model_type: ModelType,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

/// What is computed as a BERT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum ModelType {
    #[serde(rename = "bert")]
    Bert,
    #[serde(rename = "xlm-roberta")]
    XlmRoberta,
}

/// The weights of a BERT.
pub(super) struct Bert {
    heads: usize,
    words: Array2<f32>,
    /// The vector of each position, that of the first token type added.
    places: Array2<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Queries, keys and values side by side.
    seen: Linear,
    out: Linear,
    after_attention: Norm,
    up: Linear,
    down: Linear,
    after_all: Norm,
}

struct Linear {
    weight: Array2<f32>,
    bias: Array1<f32>,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl BertConfig {
    /// The names of the models that are known.
    pub(super) const MODEL_TYPES: [&str; 2] = ["bert", "xlm-roberta"];

    /// Tokens that a text may have.
    pub(super) fn most_tokens(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_place())
    }

    /// The place of a text's first token.
    fn first_place(&self) -> usize {
        match self.model_type {
            ModelType::Bert => 0,
            ModelType::XlmRoberta => self.pad_token_id.unwrap_or(1).saturating_add(1),
        }
    }

    /// What of it cannot be computed, in words.
    pub(super) fn problem(&self) -> Option<String> {
        let is = |setting: &Option<String>, known: &str| setting.as_deref().is_none_or(|is| is == known);
        if !is(&self.hidden_act, "gelu") {
            return Some("its `hidden_act` is not `gelu`; no other is known".into());
        }
        if !is(&self.position_embedding_type, "absolute") {
            return Some("its `position_embedding_type` is not `absolute`; no other is known".into());
        }
        let sizes = [
            self.hidden_size,
            self.intermediate_size,
            self.num_attention_heads,
            self.num_hidden_layers,
            self.vocab_size,
        ];
        if sizes.contains(&0) || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Some("its sizes are 0, or its width is no multiple of its heads".into());
        }
        (self.most_tokens() < 3).then(|| "it has fewer than 3 positions".into())
    }
}

impl Bert {
    /// Reads the weights. Names may begin with `bert.` or `roberta.`, as those of models with a head do.
    pub(super) fn read(config: &BertConfig, tensors: &Tensors<'_>) -> Result<Self, EncoderError> {
        let is_under = |front: &&str| tensors.has(&format!("{front}embeddings.word_embeddings.weight"));
        let front = ["bert.", "roberta."].into_iter().find(is_under).unwrap_or_default();
        let reader = Reader { tensors, front, epsilon: config.layer_norm_eps };
        let width = config.hidden_size;
        let embedding = |name: &str, rows| {
            tensors.matrix(&format!("{front}embeddings.{name}_embeddings.weight"), [rows, Some(width)])
        };
        let types = embedding("token_type", None)?;
        let Some(first_type) = types.rows().into_iter().next() else {
            return Err(tensors.refuse("there is no token type".into()));
        };
        let places = embedding("position", Some(config.max_position_embeddings))?;
        let layer = |at: usize| reader.layer(&format!("encoder.layer.{at}"), config);
        Ok(Self {
            heads: config.num_attention_heads,
            words: embedding("word", Some(config.vocab_size))?,
            places: places.slice_move(s![config.first_place().., ..]) + first_type,
            norm: reader.norm("embeddings.LayerNorm", width)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
        })
    }

    /// How many words there are.
    pub(super) fn vocabulary(&self) -> usize {
        self.words.nrows()
    }

    /// The last layer's vector of every token of `texts`, text after text.
    pub(super) fn forward(&self, texts: &[&[u32]]) -> Array2<f32> {
        let mut begin = 0;
        let spans: Vec<Range<usize>> = texts
            .iter()
            .map(|text| {
                begin += text.len();
                begin - text.len()..begin
            })
            .collect();
        let mut x = Array2::zeros((begin, self.words.ncols()));
        for (text, span) in texts.iter().zip(&spans) {
            for (place, token) in text.iter().enumerate() {
                let word = self.words.row(*token as usize);
                x.row_mut(span.start + place).assign(&(&word + &self.places.row(place)));
            }
        }
        self.norm.apply(&mut x);
        for layer in &self.layers {
            layer.apply(&mut x, &spans, self.heads);
        }
        x
    }
}

impl Layer {
    fn apply(&self, x: &mut Array2<f32>, spans: &[Range<usize>], heads: usize) {
        let attended = attention(&self.seen.of(x.view()), spans, heads);
        *x += &self.out.of(attended.view());
        self.after_attention.apply(x);
        let mut wide = self.up.of(x.view());
        gelu(wide.as_slice_mut().unwrap_or_default());
        *x += &self.down.of(wide.view());
        self.after_all.apply(x);
    }
}

/// `seen` holds queries, keys and values side by side, tokens below each other.
fn attention(seen: &Array2<f32>, spans: &[Range<usize>], heads: usize) -> Array2<f32> {
    let width = seen.ncols() / 3;
    let head = width / heads;
    let scale = 1.0 / (head as f32).sqrt();
    let longest = spans.iter().map(Range::len).max().unwrap_or(0);
    let mut attended = Array2::zeros((seen.nrows(), width));
    let mut room = vec![0.0; longest * longest];
    for span in spans {
        let count = span.len();
        for at in (0..width).step_by(head) {
            let part = |from: usize| seen.slice(s![span.clone(), from + at..from + at + head]);
            let Ok(mut scores) =
                ndarray::ArrayViewMut2::from_shape((count, count), &mut room[..count * count])
            else {
                continue;
            };
            general_mat_mul(scale, &part(0), &part(width).t(), 0.0, &mut scores);
            softmax(scores.view_mut());
            let mut result = attended.slice_mut(s![span.clone(), at..at + head]);
            general_mat_mul(1.0, &scores, &part(2 * width), 0.0, &mut result);
        }
    }
    attended
}

impl Linear {
    fn of(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut y = Array2::zeros((x.nrows(), self.bias.len()));
        y += &self.bias;
        general_mat_mul(1.0, &x, &self.weight.t(), 1.0, &mut y);
        y
    }
}

impl Norm {
    fn apply(&self, x: &mut Array2<f32>) {
        layer_norm(x.view_mut(), &self.weight, &self.bias, self.epsilon);
    }
}

/// Finds the tensors of a BERT by their names.
struct Reader<'a> {
    tensors: &'a Tensors<'a>,
    front: &'static str,
    epsilon: f32,
}

impl Reader<'_> {
    fn layer(&self, name: &str, config: &BertConfig) -> Result<Layer, EncoderError> {
        let (width, wide) = (config.hidden_size, config.intermediate_size);
        let [query, key, value] = ["query", "key", "value"]
            .map(|part| self.linear(&format!("{name}.attention.self.{part}"), width, width));
        Ok(Layer {
            seen: self.side_by_side(&[query?, key?, value?])?,
            out: self.linear(&format!("{name}.attention.output.dense"), width, width)?,
            after_attention: self.norm(&format!("{name}.attention.output.LayerNorm"), width)?,
            up: self.linear(&format!("{name}.intermediate.dense"), wide, width)?,
            down: self.linear(&format!("{name}.output.dense"), width, wide)?,
            after_all: self.norm(&format!("{name}.output.LayerNorm"), width)?,
        })
    }

    fn side_by_side(&self, parts: &[Linear]) -> Result<Linear, EncoderError> {
        let weights: Vec<_> = parts.iter().map(|part| part.weight.view()).collect();
        let biases: Vec<_> = parts.iter().map(|part| part.bias.view()).collect();
        let refused = |why: ndarray::ShapeError| self.tensors.refuse(why.to_string());
        Ok(Linear {
            weight: concatenate(Axis(0), &weights).map_err(refused)?,
            bias: concatenate(Axis(0), &biases).map_err(refused)?,
        })
    }

    fn linear(&self, name: &str, rows: usize, columns: usize) -> Result<Linear, EncoderError> {
        let name = format!("{}{name}", self.front);
        Ok(Linear {
            weight: self.tensors.matrix(&format!("{name}.weight"), [Some(rows), Some(columns)])?,
            bias: self.tensors.vector(&format!("{name}.bias"), rows)?,
        })
    }

    /// Checkpoints of the first years call weight and bias `gamma` and `beta`.
    fn norm(&self, name: &str, width: usize) -> Result<Norm, EncoderError> {
        let name = format!("{}{name}", self.front);
        let old = self.tensors.has(&format!("{name}.gamma"));
        let [weight, bias] = if old { ["gamma", "beta"] } else { ["weight", "bias"] };
        let numbers = |part| Ok(self.tensors.vector(&format!("{name}.{part}"), width)?.to_vec());
        Ok(Norm { weight: numbers(weight)?, bias: numbers(bias)?, epsilon: self.epsilon })
    }
}
