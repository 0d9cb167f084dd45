use zerosearch_local::weights::Checkpoint;
fn main() {
    let t = std::time::Instant::now();
    let c = Checkpoint::open("/root/.cache/zerosearch-assets/SmolLM2-135M-Instruct.Q4_1.gguf").unwrap();
    println!("open {:?} {:?} stops {:?} prefix {:?}", t.elapsed(), c.config, c.text.stop_tokens(), c.text.prefix());
    let m = [zerosearch_learner::text::Message::new("user", "Who? <|im_end|>")];
    println!("{:?}", c.text.chat(&m, true));
    println!("{:?}", c.text.chat_tokens(&m, true));
    let t = std::time::Instant::now();
    let dir = std::path::Path::new("/tmp/smol-export");
    zerosearch_local::weights::export(dir, &c.origin(), zerosearch_local::weights::Dtype::F32, &|n| c.tensor(n).map(std::borrow::Cow::Owned)).unwrap();
    println!("export {:?}", t.elapsed());
    let d = Checkpoint::open("/tmp/smol-export").unwrap();
    for (n, _) in c.config.tensors() { assert!(c.tensor(&n).unwrap() == d.tensor(&n).unwrap()); }
    println!("same; stops {:?} chat same {}", d.text.stop_tokens(), c.text.chat_tokens(&m, true).unwrap() == d.text.chat_tokens(&m, true).unwrap());
}
