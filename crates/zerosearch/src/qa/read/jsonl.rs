//! JSON lines: one JSON object per line.

use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value};

use super::file::Take;
use crate::qa::QuestionError;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Calls `take` for each line that is not blank. Rows are lines, counted from 1.
pub(super) fn for_each_row(
    path: &Path,
    lines: &mut dyn BufRead,
    take: &mut Take<'_>,
) -> Result<(), QuestionError> {
    let refused = |row, problem| QuestionError::Row { path: path.to_path_buf(), row, problem };
    let mut line = Vec::new();
    for row in 1.. {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(why) => return Err(refused(row, unreadable(&why))),
        }
        let content = if row == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line[..] };
        let complete = content.ends_with(b"\n");
        let text = content.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let columns = parse(text, complete).map_err(|problem| refused(row, problem))?;
        take(row, &columns)?;
    }
    Ok(())
}

fn unreadable(why: &std::io::Error) -> String {
    match why.kind() {
        std::io::ErrorKind::UnexpectedEof => "the compressed file ends too early; fetch it again".into(),
        _ => format!("the file cannot be read on: {why}"),
    }
}

fn parse(line: &[u8], complete: bool) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(line)
        .map_err(|why| format!("byte {} is not UTF-8; convert the file to UTF-8", why.valid_up_to() + 1))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(columns)) => Ok(columns),
        Ok(_) => Err("this is not a JSON object; each line must be one, such as \
            {\"question\": \"...\", \"golden_answers\": [\"...\"]}"
            .into()),
        Err(why) if why.is_eof() && !complete => {
            Err("the last line is torn off in its middle; fetch the file again or delete that line".into())
        }
        Err(why) => Err(format!("this is not JSON: {why}")),
    }
}
