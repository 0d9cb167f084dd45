//! Every shipped config resolves, is short, and opens with the command that runs it; every key is documented.

use std::path::PathBuf;

use zerosearch::config::{ConfigFile, Purpose, Setting, known_keys};

use crate::program::repository;

fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join("configs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path);
            }
        }
    }
    assert!(found.len() >= 3, "{found:?}");
    found
}

#[test]
fn every_shipped_config_resolves() {
    for path in shipped() {
        let text = std::fs::read_to_string(&path).unwrap();
        let model = Setting::of("model", "path", "given");
        let purpose = match text.split(' ').nth(2) {
            Some("sft") => Purpose::Sft,
            Some("train") => Purpose::Train,
            Some("eval") => Purpose::Use,
            verb => panic!("{}: {verb:?}", path.display()),
        };
        let mut settings = if text.contains("[model]\npath") { Vec::new() } else { vec![model] };
        if purpose == Purpose::Sft {
            settings.push(Setting::of("sft", "files", vec!["given".to_owned()]));
        }
        let file = ConfigFile::read(&path, &settings).unwrap_or_else(|why| panic!("{why:#}"));
        file.resolve(purpose).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }
}

#[test]
fn every_shipped_config_is_short_and_opens_with_its_command() {
    for path in shipped() {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(repository()).unwrap().display().to_string();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("# zerosearch ") && first.contains(&name), "{name}: {first}");
        let keys = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).count();
        assert!((5..=30).contains(&keys), "{name} has {keys} lines");
    }
}

#[test]
fn every_key_is_documented() {
    let page = std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    for (name, _) in known_keys() {
        let (section, key) = name.split_once('.').unwrap();
        let section =
            page.split(&format!("\n## `[{section}]`")).nth(1).unwrap_or_else(|| panic!("no `[{section}]`"));
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains(&format!("| `{key}` |")), "docs/configuration.md does not tell of {name}");
    }
}
