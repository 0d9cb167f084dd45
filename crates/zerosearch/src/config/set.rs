//! A setting: one `section.key=value` from the command line, which wins over the file.

use std::str::FromStr;

use super::Complaint;

/// `rl.group_size=8`, taken apart. A leading `+` is allowed and means nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    section: String,
    key: String,
    value: toml::Value,
}

impl Setting {
    /// A setting made by the program itself, from a flag of its own.
    pub fn of(section: &str, key: &str, value: impl Into<toml::Value>) -> Self {
        Self { section: section.to_owned(), key: key.to_owned(), value: value.into() }
    }

    /// The section and the key that it sets.
    pub fn name(&self) -> (&str, &str) {
        (&self.section, &self.key)
    }

    /// Puts the value into `table`. Whether the key exists is checked later, with those of the file.
    pub(super) fn apply(&self, table: &mut toml::Table) -> Result<(), Complaint> {
        let section =
            table.entry(self.section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let Some(section) = section.as_table_mut() else {
            return Err(Complaint::without_value(
                &self.section,
                "must be a section, `[section]`, not a value",
            ));
        };
        section.insert(self.key.clone(), self.value.clone());
        Ok(())
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not `section.key=value`, for example `rl.group_size=8`");
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (section, key) = name.trim().trim_start_matches('+').split_once('.').ok_or_else(wrong)?;
        if section.is_empty() || key.is_empty() || key.contains('.') {
            return Err(wrong());
        }
        Ok(Self { section: section.to_owned(), key: key.to_owned(), value: value_of(value.trim()) })
    }
}

/// The value as TOML reads it; what is not TOML is a text, so that `rl.algorithm=grpo` needs no quotes.
fn value_of(text: &str) -> toml::Value {
    let parsed: Option<toml::Table> = toml::from_str(&format!("value = {text}")).ok();
    parsed
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> toml::Table {
        let mut table = toml::Table::new();
        text.parse::<Setting>().unwrap().apply(&mut table).unwrap();
        table
    }

    #[test]
    fn values_are_toml_and_bare_words_are_texts() {
        assert_eq!(applied("rl.group_size=8")["rl"]["group_size"].as_integer(), Some(8));
        assert_eq!(applied("+rl.kl_coef = 1e-3")["rl"]["kl_coef"].as_float(), Some(1e-3));
        assert_eq!(applied("rl.algorithm=grpo")["rl"]["algorithm"].as_str(), Some("grpo"));
        assert_eq!(
            applied("questions.train=[\"a\", \"b\"]")["questions"]["train"].as_array().unwrap().len(),
            2
        );
        assert_eq!(applied("run.folder=x\ny = 2")["run"]["folder"].as_str(), Some("x\ny = 2"));
    }

    #[test]
    fn what_is_no_setting_is_refused_with_an_example() {
        for text in ["group_size=8", "rl.group_size", "rl.a.b=1", ".x=1", "rl.=1"] {
            assert!(text.parse::<Setting>().unwrap_err().contains("rl.group_size=8"), "{text}");
        }
    }
}
