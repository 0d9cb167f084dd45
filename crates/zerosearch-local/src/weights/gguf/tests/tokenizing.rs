//! Tokenizers rebuilt from metadata: how each family cuts text, and SentencePiece's merges by score.

use zerosearch_learner::text::Text;

use super::models::{made_up, put_byte_tokenizer};
use super::reading::refusal;
use super::writer::Writer;
use crate::weights::gguf::GgufFile;

/// The made-up model without its tokenizer, with room for `rows` tokens.
fn bare(rows: usize) -> Writer {
    let mut writer = made_up();
    writer.pairs.retain(|(key, _)| !key.starts_with("tokenizer."));
    for tensor in writer.tensors.iter_mut().filter(|tensor| tensor.shape[0] == 259) {
        tensor.shape[0] = rows as u64;
        tensor.code = 0;
        tensor.bytes = vec![0; rows * 256 * 4];
    }
    writer
}

fn text(writer: &Writer) -> Text {
    let folder = tempfile::tempdir().unwrap();
    GgufFile::open(&writer.save(folder.path())).unwrap().1
}

/// Ids 259 on. `Ċ` is how the vocabulary spells a line end; `xyz` has no merge that leads to it.
const MORE: [&str; 5] = ["12", "123", "1234", "!Ċ", "xyz"];
const MERGES: [&str; 4] = ["1 2", "12 3", "123 4", "! Ċ"];

fn ids(pre: &str, sample: &str) -> Vec<u32> {
    let mut writer = bare(264);
    put_byte_tokenizer(&mut writer, pre, &MORE, &MERGES);
    text(&writer).encode(sample)
}

/// By hand from the patterns: which digits stay together, whether a line end stays with punctuation, whether a word
/// that is a token is taken whole.
#[test]
fn each_family_cuts_text_in_its_own_manner() {
    let bytes = |text: &str| text.bytes().map(u32::from).collect::<Vec<_>>();
    assert_eq!(ids("gpt-2", "1234"), [261]);
    assert_eq!(ids("smollm", "1234"), bytes("1234"));
    assert_eq!(ids("qwen2", "1234"), bytes("1234"));
    assert_eq!(ids("llama-bpe", "1234"), [260, u32::from(b'4')]);
    assert_eq!(ids("gpt-2", "!\n"), bytes("!\n"));
    assert_eq!(ids("smollm", "!\n"), bytes("!\n"));
    assert_eq!(ids("qwen2", "!\n"), [262]);
    assert_eq!(ids("llama-bpe", "!\n"), [262]);
    assert_eq!(ids("gpt-2", "xyz"), bytes("xyz"));
    assert_eq!(ids("llama-bpe", "xyz"), [263]);
    // Only Qwen's tokenizer joins a letter and its accent.
    assert_eq!(ids("gpt-2", "e\u{301}"), bytes("e\u{301}"));
    assert_eq!(ids("qwen2", "e\u{301}"), bytes("\u{e9}"));
}

#[test]
fn special_tokens_are_found_in_text_and_end_turns() {
    let mut writer = bare(259);
    put_byte_tokenizer(&mut writer, "llama3", &[], &[]);
    let text = text(&writer);
    assert_eq!(text.encode("a<|turn|>b"), [97, 258, 98]);
    assert_eq!(text.stop_tokens(), [257, 258]);
    assert_eq!(text.named_token("bos_token"), Some(256));
    // Llama 3 begins every text with its token, files of the other byte-level families do not.
    assert_eq!(text.prefix(), [256]);
}

#[test]
fn a_file_may_say_itself_whether_texts_begin_with_a_token() {
    for (pre, given) in [("gpt-2", true), ("llama3", false)] {
        let mut writer = bare(259);
        put_byte_tokenizer(&mut writer, pre, &[], &[]);
        writer.flag("tokenizer.ggml.add_bos_token", given);
        assert_eq!(text(&writer).prefix(), if given { &[256][..] } else { &[] });
    }
}

#[test]
fn place_holders_of_the_embedding_are_no_tokens() {
    let mut writer = bare(260);
    put_byte_tokenizer(&mut writer, "gpt-2", &["[PAD]"], &[]);
    let writer = {
        let mut writer = writer.without("tokenizer.ggml.token_type");
        writer.integers("tokenizer.ggml.token_type", &[vec![1; 256], vec![3; 3], vec![5]].concat());
        writer
    };
    assert_eq!(text(&writer).token("[PAD]"), None);
}

/// Ids: 0 unknown, 1 and 2 begin and end, 3 to 258 the bytes, then these with their scores.
const PIECES: [(&str, f32); 8] = [
    ("▁", -10.0),
    ("a", -11.0),
    ("b", -12.0),
    ("c", -13.0),
    ("bc", -1.0),
    ("ab", -2.0),
    ("▁ab", -3.0),
    ("abc", -4.0),
];

fn sentencepiece() -> Writer {
    let mut tokens = vec!["<unk>".to_owned(), "<s>".to_owned(), "</s>".to_owned()];
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(PIECES.iter().map(|(piece, _)| (*piece).to_owned()));
    let roles = [vec![2, 3, 3], vec![6; 256], vec![1; PIECES.len()]].concat();
    let scores = [vec![0.0; 259], PIECES.iter().map(|&(_, score)| score).collect()].concat();
    let mut writer = bare(tokens.len());
    writer.text("tokenizer.ggml.model", "llama");
    writer.text("tokenizer.ggml.pre", "default");
    writer.texts("tokenizer.ggml.tokens", &tokens);
    writer.integers("tokenizer.ggml.token_type", &roles);
    writer.floats("tokenizer.ggml.scores", &scores);
    writer.count("tokenizer.ggml.bos_token_id", 1);
    writer.count("tokenizer.ggml.eos_token_id", 2);
    writer
}

/// By hand. `▁ab`: `ab` joins first, then `▁` + `ab`. `▁abc`: of `bc` (-1) and `ab` (-2) the better one joins first, then
/// `a` + `bc` is `abc`; `▁` stays alone. `é` is no piece, so its two bytes 0xC3 and 0xA9 are written (195 + 3, 169 + 3).
#[test]
fn sentencepiece_merges_by_score_and_falls_back_to_bytes() {
    let text = text(&sentencepiece());
    assert_eq!(text.encode("ab"), [265]);
    assert_eq!(text.encode("abc"), [259, 266]);
    assert_eq!(text.encode("a ab</s>"), [259, 260, 265, 2]);
    assert_eq!(text.encode("é"), [259, 198, 172]);
    assert_eq!(text.decode(&[198, 172, 2]), "é</s>");
    assert_eq!((text.prefix(), text.stop_tokens()), (&[1][..], &[2][..]));
}

#[test]
fn sentencepiece_without_a_leading_space() {
    let mut writer = sentencepiece();
    writer.flag("tokenizer.ggml.add_space_prefix", false);
    assert_eq!(text(&writer).encode("ab ab"), [264, 265]);
}

#[test]
fn tokenizers_that_cannot_be_rebuilt_are_refused_with_the_reason() {
    let with = |pre: &str, more: &[&str], merges: &[&str]| {
        let mut writer = bare(264);
        put_byte_tokenizer(&mut writer, pre, more, merges);
        writer
    };
    let known = refusal(&with("falcon", &[], &[]));
    assert!(known.contains("`falcon`") && known.contains("gpt-2, smollm, qwen2, llama-bpe"), "{known}");
    assert!(refusal(&with("gpt-2", &[], &[]).without("tokenizer.ggml.pre")).contains("tokenizer.ggml.pre"));
    assert!(refusal(&with("gpt-2", &["aa"], &["a b"])).contains("merge 0, `a b`"));
    assert!(refusal(&with("gpt-2", &[], &["aa"])).contains("merge 0, `aa`"));
    assert!(refusal(&with("gpt-2", &["a"], &[])).contains("tokens 97 and 259 are both `a`"));
    assert!(refusal(&with("gpt-2", &["aa", "bb", "cc", "dd", "ee", "ff"], &[])).contains("only 264 rows"));
    let mut wordpiece = bare(264);
    wordpiece.text("tokenizer.ggml.model", "bert");
    wordpiece.texts("tokenizer.ggml.tokens", &["a"]);
    assert!(refusal(&wordpiece).contains("`bert`"));
    let mut far = with("gpt-2", &[], &[]).without("tokenizer.ggml.eos_token_id");
    far.count("tokenizer.ggml.eos_token_id", 4711);
    assert!(refusal(&far).contains("4711"));
}

#[test]
fn sentencepiece_vocabularies_that_would_lose_text_are_refused() {
    let changed = |token: usize, to: &str| {
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
        tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
        tokens.extend(PIECES.iter().map(|(piece, _)| (*piece).to_owned()));
        tokens[token] = to.to_owned();
        let mut writer = sentencepiece().without("tokenizer.ggml.tokens");
        writer.texts("tokenizer.ggml.tokens", &tokens);
        writer
    };
    assert!(refusal(&changed(3 + 0x41, "A?")).contains("no token for byte 65"));
    assert!(refusal(&changed(262, &"x".repeat(600))).contains("600 bytes"));
    let unscored = sentencepiece().without("tokenizer.ggml.scores");
    assert!(refusal(&unscored).contains("tokenizer.ggml.scores"));
}
