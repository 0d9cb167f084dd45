//! Names: what GGUF calls the tensors of a Hugging Face model.

/// The GGUF name of the tensor that a Hugging Face decoder calls `name`; `None` for one it does not have.
pub(super) fn gguf_name(name: &str) -> Option<String> {
    let whole = match name {
        "model.embed_tokens.weight" => "token_embd.weight",
        "model.norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        _ => return name.strip_prefix("model.layers.").and_then(in_layer),
    };
    Some(whole.to_owned())
}

fn in_layer(name: &str) -> Option<String> {
    let (layer, name) = name.split_once('.')?;
    let (module, kind) = name.rsplit_once('.')?;
    let module = match module {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => "ffn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{module}.{kind}"))
}

/// Undoes the row order that GGUF files of the `llama` architecture give queries and keys. Their rotary embedding turns
/// neighbouring numbers of a head; that of Hugging Face turns numbers half a head apart:
///
/// ```text
/// row (h, 2 i + j) of the file is row (h, j width/2 + i) of the model, j in {0, 1}
/// ```
///
/// `row` is the length of a row, `head_width` the number of rows of one head.
pub(super) fn undo_interleaving(stored: &[f32], row: usize, head_width: usize) -> Vec<f32> {
    let mut model = Vec::with_capacity(stored.len());
    for head in stored.chunks_exact(head_width * row) {
        for of_pair in 0..2 {
            for pair in 0..head_width / 2 {
                let at = (2 * pair + of_pair) * row;
                model.extend_from_slice(&head[at..at + row]);
            }
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_tensor_has_its_name() {
        assert_eq!(gguf_name("lm_head.weight").as_deref(), Some("output.weight"));
        assert_eq!(gguf_name("model.layers.11.self_attn.k_proj.bias").as_deref(), Some("blk.11.attn_k.bias"));
        assert_eq!(
            gguf_name("model.layers.0.post_attention_layernorm.weight").as_deref(),
            Some("blk.0.ffn_norm.weight")
        );
        assert_eq!(gguf_name("model.layers.0.mlp.experts.weight"), None);
        assert_eq!(gguf_name("weight"), None);
    }

    /// By hand: two heads of width 4, rows of one number. In the file the pairs (0, 2), (1, 3) of a head stand side by side.
    #[test]
    fn pairs_that_stand_side_by_side_are_put_half_a_head_apart() {
        let stored = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        assert_eq!(undo_interleaving(&stored, 1, 4), [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]);
    }
}
