//! Parquet: rows of columns, read as if they had been written as JSON.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::file::Take;
use super::row::COLUMNS;
use crate::qa::QuestionError;

/// Calls `take` for each row, counted from 1. Only the columns that questions are made of are decoded.
pub(super) fn for_each_row(path: &Path, file: File, take: &mut Take<'_>) -> Result<(), QuestionError> {
    let broken = |why: ParquetError| QuestionError::File {
        path: path.to_path_buf(),
        problem: format!("the Parquet file cannot be read: {why}; is it complete?"),
    };
    let reader = SerializedFileReader::new(file).map_err(broken)?;
    let wanted = wanted_columns(reader.metadata().file_metadata().schema()).map_err(broken)?;
    if wanted.get_fields().is_empty() {
        return Err(QuestionError::File {
            path: path.to_path_buf(),
            problem: format!("no column is called {}", COLUMNS.join(", ")),
        });
    }
    for (row, fields) in (1..).zip(reader.get_row_iter(Some(wanted)).map_err(broken)?) {
        let fields = fields.map_err(broken)?;
        let columns = object(&fields).map_err(|problem| QuestionError::Row {
            path: path.to_path_buf(),
            row,
            problem,
        })?;
        take(row, &columns)?;
    }
    Ok(())
}

fn wanted_columns(schema: &Type) -> Result<Type, ParquetError> {
    let fields = schema.get_fields().iter().filter(|field| COLUMNS.contains(&field.name())).map(Arc::clone);
    Type::group_type_builder(schema.name()).with_fields(fields.collect()).build()
}

fn object(row: &Row) -> Result<Map<String, Value>, String> {
    row.get_column_iter()
        .map(|(name, field)| {
            Ok((name.clone(), value(field).map_err(|problem| format!("column `{name}` {problem}"))?))
        })
        .collect()
}

/// A field as JSON. Dates, decimals and the like, which JSON does not have, become text.
fn value(field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::from(*truth),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float(number) => Value::from(*number),
        Field::Double(number) => Value::from(*number),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::from(text),
            Err(_) => return Err("holds bytes that are not UTF-8".into()),
        },
        Field::Group(row) => Value::Object(object(row)?),
        Field::ListInternal(list) => list.elements().iter().map(value).collect::<Result<_, _>>()?,
        other => Value::from(other.to_string()),
    })
}
