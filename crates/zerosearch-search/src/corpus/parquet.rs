//! Parquet: one passage in each row. Only the columns that passages are made of are decoded.

use std::fs::File;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::Passage;
use super::passage::COLUMNS;

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    rows: RowIter<'static>,
    total: u64,
}

impl ParquetRows {
    /// # Errors
    /// When the file is damaged or has no column of a passage.
    pub(super) fn open(file: File) -> Result<Self, String> {
        let reader = SerializedFileReader::new(file).map_err(|why| broken(&why))?;
        let total = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
        let schema = reader.metadata().file_metadata().schema();
        let fields: Vec<_> = schema
            .get_fields()
            .iter()
            .filter(|field| COLUMNS.contains(&field.name()))
            .map(Arc::clone)
            .collect();
        if fields.is_empty() {
            return Err(format!("none of its columns is called {}", COLUMNS.join(", ")));
        }
        let wanted = Type::group_type_builder(schema.name()).with_fields(fields).build();
        let rows = wanted.and_then(|wanted| RowIter::from_file_into(Box::new(reader)).project(Some(wanted)));
        Ok(Self { rows: rows.map_err(|why| broken(&why))?, total })
    }

    /// How many rows there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The passage in the next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Passage>, String> {
        let Some(row) = self.rows.next() else { return Ok(None) };
        Passage::of_row(&columns(&row.map_err(|why| broken(&why))?)?).map(Some)
    }
}

fn broken(why: &ParquetError) -> String {
    format!("the Parquet file cannot be read: {why}; is it complete?")
}

fn columns(row: &Row) -> Result<Map<String, Value>, String> {
    row.get_column_iter().map(|(name, field)| Ok((name.clone(), value(name, field)?))).collect()
}

/// A field as a JSON row would have it. Of what is neither text nor a whole number, only that it is there is kept.
fn value(name: &str, field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => Value::from(
            std::str::from_utf8(bytes.data())
                .map_err(|_| format!("column `{name}` holds bytes that are not UTF-8"))?,
        ),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        _ => Value::Bool(true),
    })
}
