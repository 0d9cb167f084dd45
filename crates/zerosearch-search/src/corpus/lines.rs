//! JSON lines: one passage on each line.

use std::io::{self, BufRead};

use serde_json::Value;

use super::Passage;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The rows of JSON lines.
pub(super) struct Lines {
    bytes: Box<dyn BufRead>,
    line: Vec<u8>,
    is_first: bool,
}

impl Lines {
    pub(super) fn new(bytes: Box<dyn BufRead>) -> Self {
        Self { bytes, line: Vec::new(), is_first: true }
    }

    /// The passage on the next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Passage>, String> {
        self.line.clear();
        let is_first = std::mem::take(&mut self.is_first);
        match self.bytes.read_until(b'\n', &mut self.line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                return Err("the packed file ends too early; fetch it again".into());
            }
            Err(why) => return Err(format!("the file cannot be read on: {why}")),
        }
        let unmarked = self.line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first);
        passage(unmarked.unwrap_or(&self.line)).map(Some)
    }
}

fn passage(line: &[u8]) -> Result<Passage, String> {
    let text = std::str::from_utf8(line)
        .map_err(|why| format!("byte {} is not UTF-8; convert the file to UTF-8", why.valid_up_to() + 1))?;
    if text.trim().is_empty() {
        return Err("the line is empty; delete it".into());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(columns)) => Passage::of_row(&columns),
        Ok(_) => Err("this is not a JSON object; each line must be one, such as \
            {\"id\": \"1\", \"title\": \"...\", \"text\": \"...\"}"
            .into()),
        Err(why) if why.is_eof() && !line.ends_with(b"\n") => {
            Err("the last line is torn off in its middle; fetch the file again or delete that line".into())
        }
        Err(why) => Err(format!("this is not JSON: {why}")),
    }
}
