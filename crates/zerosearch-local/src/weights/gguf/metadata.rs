//! Metadata: the keys and values at the head of a GGUF file.

use std::collections::HashMap;
use std::path::Path;

use zerosearch_learner::{LearnerError, Result};

use super::cursor::Cursor;

/// No vocabulary comes near this; a damaged length must not cost memory.
const LONGEST_LIST: usize = 1 << 24;

/// One value, borrowed from the file.
pub(super) enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
    Text(&'a [u8]),
    /// Numbers of one kind, as they lie in the file.
    Numbers(Kind, &'a [u8]),
    Texts(Vec<&'a [u8]>),
}

/// The kinds of value, with the codes that the format gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Text = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

/// All keys of a file. Every getter answers `None` for an absent key and refuses a value of another kind.
pub(super) struct Metadata<'a> {
    path: &'a Path,
    values: HashMap<&'a str, Value<'a>>,
}

impl<'a> Metadata<'a> {
    /// Reads `count` pairs. A key given twice is refused.
    pub(super) fn read(path: &'a Path, cursor: &mut Cursor<'a>, count: usize) -> Result<Self> {
        let mut values = HashMap::with_capacity(count);
        for index in 0..count {
            let key = cursor.string(&format!("the name of metadata key {index}"))?;
            let key = std::str::from_utf8(key)
                .map_err(|_| cursor.refuse(format!("the name of metadata key {index} is not UTF-8")))?;
            let value = Value::read(cursor, key)?;
            if values.insert(key, value).is_some() {
                return Err(
                    cursor.refuse(format!("metadata key `{key}` is given twice; the file is damaged"))
                );
            }
        }
        Ok(Self { path, values })
    }

    /// An error about this file.
    pub(super) fn refuse(&self, problem: impl Into<String>) -> LearnerError {
        LearnerError::bad_model(self.path, problem)
    }

    /// What [`refuse`](Self::refuse) says about a key that has to be there.
    pub(super) fn missing(&self, key: &str) -> LearnerError {
        self.refuse(format!("metadata key `{key}` is missing"))
    }

    /// A whole number from 0 to 2^32 - 1, of any width.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        let number = match self.values.get(key) {
            None => return Ok(None),
            Some(&Value::Unsigned(number)) => u32::try_from(number).ok(),
            Some(&Value::Signed(number)) => u32::try_from(number).ok(),
            Some(other) => return Err(self.wrong(key, "a whole number", other)),
        };
        let number = number.ok_or_else(|| self.refuse(format!("metadata key `{key}` is out of range")))?;
        Ok(Some(number as usize))
    }

    /// A finite number.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        let number = match self.values.get(key) {
            None => return Ok(None),
            Some(&Value::Float(number)) => number,
            Some(&Value::Unsigned(number)) => number as f64,
            Some(&Value::Signed(number)) => number as f64,
            Some(other) => return Err(self.wrong(key, "a number", other)),
        };
        if !number.is_finite() {
            return Err(self.refuse(format!("metadata key `{key}` is {number}")));
        }
        Ok(Some(number))
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(&Value::Flag(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(key, "true or false", other)),
        }
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(&Value::Text(bytes)) => self.utf8(key, bytes).map(Some),
            Some(other) => Err(self.wrong(key, "a text", other)),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => {
                texts.iter().map(|bytes| self.utf8(key, bytes)).collect::<Result<_>>().map(Some)
            }
            Some(other) => Err(self.wrong(key, "a list of texts", other)),
        }
    }

    /// A list of 32-bit whole numbers.
    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<i32>>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Numbers(Kind::I32 | Kind::U32, bytes)) => Ok(Some(each(bytes, i32::from_le_bytes))),
            Some(other) => Err(self.wrong(key, "a list of 32-bit whole numbers", other)),
        }
    }

    /// A list of 32-bit floats.
    pub(super) fn floats(&self, key: &str) -> Result<Option<Vec<f32>>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Numbers(Kind::F32, bytes)) => Ok(Some(each(bytes, f32::from_le_bytes))),
            Some(other) => Err(self.wrong(key, "a list of 32-bit floats", other)),
        }
    }

    fn utf8(&self, key: &str, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes)
            .map_err(|_| self.refuse(format!("metadata key `{key}` holds text that is not UTF-8")))
    }

    fn wrong(&self, key: &str, wanted: &str, found: &Value<'_>) -> LearnerError {
        self.refuse(format!("metadata key `{key}` should be {wanted}, it is {}", found.description()))
    }
}

impl<'a> Value<'a> {
    fn read(cursor: &mut Cursor<'a>, key: &str) -> Result<Self> {
        let what = format!("the value of metadata key `{key}`");
        let kind = Kind::read(cursor, &what)?;
        match kind {
            Kind::Text => Ok(Self::Text(cursor.string(&what)?)),
            Kind::Array => Self::read_list(cursor, &what),
            number => {
                let bytes = cursor.take(number.width() as u64, &what)?;
                number.decode(bytes).ok_or_else(|| cursor.refuse(format!("{what} is neither true nor false")))
            }
        }
    }

    fn read_list(cursor: &mut Cursor<'a>, what: &str) -> Result<Self> {
        let kind = Kind::read(cursor, what)?;
        if kind == Kind::Array {
            return Err(cursor.refuse(format!("{what} is a list of lists, which no known model needs")));
        }
        let count = cursor.count(kind.width(), LONGEST_LIST, &format!("the length of {what}"))?;
        if kind != Kind::Text {
            return Ok(Self::Numbers(kind, cursor.take((count * kind.width()) as u64, what)?));
        }
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(cursor.string(what)?);
        }
        Ok(Self::Texts(texts))
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => "a whole number",
            Self::Float(_) => "a float",
            Self::Flag(_) => "true or false",
            Self::Text(_) => "a text",
            Self::Numbers(..) => "a list of numbers of another kind",
            Self::Texts(_) => "a list of texts",
        }
    }
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Text,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn read(cursor: &mut Cursor<'_>, what: &str) -> Result<Self> {
        let code = cursor.u32(what)?;
        let known = Self::ALL.get(code as usize).copied();
        known.ok_or_else(|| cursor.refuse(format!("{what} has the unknown kind {code} (0 to 12 are known)")))
    }

    /// Bytes of one number, or the fewest that a text can take.
    fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text | Self::Array => 8,
        }
    }

    /// The value of a single number; `None` for a truth value other than 0 and 1, and for what is no number.
    fn decode<'a>(self, bytes: &[u8]) -> Option<Value<'a>> {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(wide);
        Some(match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Value::Unsigned(unsigned),
            Self::I8 => Value::Signed(i64::from(unsigned as i8)),
            Self::I16 => Value::Signed(i64::from(unsigned as i16)),
            Self::I32 => Value::Signed(i64::from(unsigned as i32)),
            Self::I64 => Value::Signed(unsigned as i64),
            Self::F32 => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
            Self::F64 => Value::Float(f64::from_bits(unsigned)),
            Self::Bool => Value::Flag(match unsigned {
                0 => false,
                1 => true,
                _ => return None,
            }),
            Self::Text | Self::Array => return None,
        })
    }
}

fn each<T>(bytes: &[u8], decode: impl Fn([u8; 4]) -> T) -> Vec<T> {
    bytes.as_chunks::<4>().0.iter().map(|&chunk| decode(chunk)).collect()
}
