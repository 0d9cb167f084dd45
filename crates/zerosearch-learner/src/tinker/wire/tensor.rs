//! A tensor: numbers of one kind and their shape, as a loss takes and gives them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Numbers of one row. More than one dimension never occurs in what this program sends; what it reads is flattened.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// `float32`
    Floats(Vec<f32>),
    /// `int64`
    Integers(Vec<i64>),
}

impl Tensor {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(numbers) => numbers.len(),
            Self::Integers(numbers) => numbers.len(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its numbers as floats.
    pub fn to_floats(&self) -> Vec<f32> {
        match self {
            Self::Floats(numbers) => numbers.clone(),
            Self::Integers(numbers) => numbers.iter().map(|&number| number as f32).collect(),
        }
    }
}

#[derive(Serialize)]
struct Written<'a, T> {
    data: &'a [T],
    dtype: &'static str,
    shape: [usize; 1],
}

#[derive(Deserialize)]
struct Read {
    data: Box<RawValue>,
    #[serde(default)]
    dtype: Option<String>,
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Floats(data) => {
                Written { data, dtype: "float32", shape: [data.len()] }.serialize(serializer)
            }
            Self::Integers(data) => {
                Written { data, dtype: "int64", shape: [data.len()] }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tensor {
    /// The text of the numbers is kept until their type is known: read as f32 at once, digits that name an f32 give that f32.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        let text = read.data.get();
        match read.dtype.as_deref() {
            Some("int64" | "int32") => {
                Ok(Self::Integers(serde_json::from_str(text).map_err(D::Error::custom)?))
            }
            Some("float32" | "float64" | "bfloat16") | None => {
                Ok(Self::Floats(serde_json::from_str(text).map_err(D::Error::custom)?))
            }
            Some(other) => Err(D::Error::custom(format!("a tensor of `{other}` is not known"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server that was asked printed it; 0.1 is no f32, the nearest is taken.
    #[test]
    fn a_tensor_is_written_and_read_as_servers_do() {
        let floats = Tensor::Floats(vec![0.0, -6.1984, 0.1]);
        let json = r#"{"data":[0.0,-6.1984,0.1],"dtype":"float32","shape":[3]}"#;
        assert_eq!(serde_json::to_string(&floats).unwrap(), json);
        assert_eq!(serde_json::from_str::<Tensor>(json).unwrap(), floats);
        let integers = r#"{"dtype":"int64","data":[40,77,114,254],"shape":[4]}"#;
        assert_eq!(
            serde_json::from_str::<Tensor>(integers).unwrap(),
            Tensor::Integers(vec![40, 77, 114, 254])
        );
    }

    #[test]
    fn a_tensor_of_words_is_refused() {
        for bad in [r#"{"data":["a"],"dtype":"float32"}"#, r#"{"data":[1],"dtype":"string"}"#, "[1]"] {
            assert!(serde_json::from_str::<Tensor>(bad).is_err(), "{bad}");
        }
    }
}
