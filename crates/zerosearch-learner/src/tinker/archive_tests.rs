//! Archives as servers send them, and as somebody who means ill would.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::*;

const CONFIG: &[u8] = br#"{"peft_type":"LORA","r":2,"lora_alpha":32,"base_model_name_or_path":"/srv/base","target_modules":null}"#;

/// The head of an adapter's numbers: two modules, with both factors each.
fn weights() -> Vec<u8> {
    let name =
        |module: &str, factor: &str| format!("base_model.model.model.layers.0.{module}.lora_{factor}.weight");
    let mut head = Map::from_iter([("__metadata__".to_owned(), json!({}))]);
    for module in ["self_attn.v_proj", "mlp.down_proj"] {
        for factor in ["A", "B"] {
            head.insert(name(module, factor), json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}));
        }
    }
    let head = serde_json::to_vec(&head).unwrap();
    [&(head.len() as u64).to_le_bytes()[..], &head].concat()
}

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, bytes) in files {
        append(&mut tar, name, bytes, EntryType::Regular);
    }
    tar.into_inner().unwrap()
}

/// With a name as it is: the library itself would refuse some of them.
fn append(tar: &mut Builder<Vec<u8>>, name: &str, bytes: &[u8], kind: EntryType) {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    if kind == EntryType::Symlink {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

fn opened(bytes: &[u8]) -> (tempfile::TempDir, Result<Unpacked, String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let unpacked = unpack(file, folder.path()).and_then(|()| known(folder.path(), "local/base"));
    (folder, unpacked)
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_adapter_is_known_gzipped_or_not_and_its_description_is_completed() {
    let weights = weights();
    let plain = tar_of(&[("./adapter_config.json", CONFIG), ("adapter_model.safetensors", &weights)]);
    for bytes in [plain.clone(), zipped(&plain)] {
        let (folder, unpacked) = opened(&bytes);
        assert_eq!(unpacked, Ok(Unpacked::Adapter));
        let config: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join(ADAPTER)).unwrap()).unwrap();
        assert_eq!(config["target_modules"], json!(["down_proj", "v_proj"]));
        assert_eq!(config["base_model_name_or_path"], "local/base");
        assert_eq!(config["r"], 2);
    }
    let model = tar_of(&[("config.json", b"{}"), ("model.safetensors", b"")]);
    assert_eq!(opened(&model).1, Ok(Unpacked::Model));
}

#[test]
fn what_leads_elsewhere_is_refused_and_nothing_is_written_over() {
    for name in ["../config.json", "/tmp/config.json", "a/config.json", "..", "a/../config.json"] {
        let (folder, unpacked) = opened(&tar_of(&[(name, b"{}")]));
        assert!(unpacked.is_err_and(|why| why.contains("no plain file")), "{name}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo] {
        let mut tar = Builder::new(Vec::new());
        append(&mut tar, "config.json", b"", kind);
        assert!(opened(&tar.into_inner().unwrap()).1.is_err(), "{kind:?}");
    }
    let twice = tar_of(&[("config.json", b"one"), ("config.json", b"two")]);
    let (folder, unpacked) = opened(&twice);
    assert!(unpacked.is_err());
    assert_eq!(std::fs::read(folder.path().join("config.json")).unwrap(), b"one");
}

#[test]
fn what_is_torn_or_swollen_or_strange_is_refused() {
    let plain = tar_of(&[("config.json", &[7; 5000][..])]);
    for bytes in [&b""[..], b"P", b"no archive at all", &plain[..900], &zipped(&plain)[..40]] {
        assert!(opened(bytes).1.is_err());
    }
    let swollen = zipped(&tar_of(&[("config.json", &vec![0; 1 << 26][..])]));
    assert!(opened(&swollen).1.is_err());
    let nothing = tar_of(&[("README.md", b"hello")]);
    assert!(opened(&nothing).1.is_err_and(|why| why.contains("no weights that this program knows")));
    let headless = tar_of(&[("adapter_config.json", CONFIG), ("adapter_model.safetensors", &[255; 16])]);
    assert!(opened(&headless).1.is_err_and(|why| why.contains("longer than the file")));
}

#[test]
fn an_address_becomes_a_route_only_if_its_parts_are_names() {
    let route = Some("training_runs/model_1/checkpoints/step-4/archive".to_owned());
    assert_eq!(route_of("tinker://model_1/sampler_weights/step-4"), route);
    assert_eq!(route_of("tinker://model_1/step-4"), route);
    for bad in [
        "http://model_1/step-4",
        "tinker://model_1/weights/step-4",
        "tinker://../sampler_weights/x",
        "tinker://m/sampler_weights/..",
        "tinker://m?x/sampler_weights/y",
        "tinker://m",
        "",
    ] {
        assert_eq!(route_of(bad), None, "{bad}");
    }
}
