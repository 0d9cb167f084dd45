//! Weights: the tensors of a safetensors file as 32-bit numbers.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::{Array1, Array2};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::EncoderError;
use crate::corpus::hex;

/// A safetensors file that was read whole.
pub(super) struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Weights {
    /// Reads `model.safetensors` in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, EncoderError> {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).map_err(|source| EncoderError::Io { path: path.clone(), source })?;
        Ok(Self { path, bytes })
    }

    /// SHA-256 of the file in hexadecimal digits.
    pub(super) fn hash(&self) -> String {
        hex(&Sha256::digest(&self.bytes))
    }

    /// The tensors by their names.
    pub(super) fn tensors(&self) -> Result<Tensors<'_>, EncoderError> {
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|why| {
            EncoderError::file(
                &self.path,
                format!("it is not a whole safetensors file: {why}; fetch it again"),
            )
        })?;
        Ok(Tensors { path: &self.path, tensors })
    }
}

/// The tensors of a file.
pub(super) struct Tensors<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Tensors<'_> {
    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.names().contains(&name)
    }

    /// The matrix `name`, which must have this shape; `None` for any.
    pub(super) fn matrix(&self, name: &str, shape: [Option<usize>; 2]) -> Result<Array2<f32>, EncoderError> {
        let tensor = self.tensor(name)?;
        let &[rows, columns] = tensor.shape() else {
            return Err(
                self.refuse(format!("`{name}` has the shape {:?}, not two dimensions", tensor.shape()))
            );
        };
        if shape[0].is_some_and(|wanted| wanted != rows) || shape[1].is_some_and(|wanted| wanted != columns) {
            let wanted = shape.map(|size| size.map_or("any".to_owned(), |size| size.to_string())).join(" x ");
            return Err(self.refuse(format!("`{name}` is {rows} x {columns}; config.json asks for {wanted}")));
        }
        let numbers = self.numbers(name, &tensor)?;
        Array2::from_shape_vec((rows, columns), numbers)
            .map_err(|why| self.refuse(format!("`{name}`: {why}")))
    }

    /// The vector `name` of this length.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Array1<f32>, EncoderError> {
        let tensor = self.tensor(name)?;
        if tensor.shape() != [length] {
            return Err(self.refuse(format!("`{name}` has the shape {:?}, not [{length}]", tensor.shape())));
        }
        Ok(Array1::from_vec(self.numbers(name, &tensor)?))
    }

    /// The whole numbers of the vector `name`.
    pub(super) fn places(&self, name: &str) -> Result<Vec<usize>, EncoderError> {
        let tensor = self.tensor(name)?;
        let wrong = || self.refuse(format!("`{name}` holds numbers that are no places"));
        let place = |number: i64| usize::try_from(number).map_err(|_| wrong());
        match tensor.dtype() {
            Dtype::I64 => of_bytes(tensor.data(), i64::from_le_bytes).map(place).collect(),
            Dtype::I32 => {
                of_bytes(tensor.data(), |bytes| i64::from(i32::from_le_bytes(bytes))).map(place).collect()
            }
            other => Err(self.refuse(format!("`{name}` is {other}; whole numbers are I32 or I64"))),
        }
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>, EncoderError> {
        self.tensors.tensor(name).map_err(|_| self.refuse(format!("there is no tensor `{name}`")))
    }

    fn numbers(&self, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, EncoderError> {
        let data = tensor.data();
        let numbers: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => of_bytes(data, f32::from_le_bytes).collect(),
            Dtype::F16 => of_bytes(data, |bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::BF16 => of_bytes(data, |bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::F64 => of_bytes(data, |bytes| f64::from_le_bytes(bytes) as f32).collect(),
            other => {
                return Err(self.refuse(format!("`{name}` is {other}; known are F32, F16, BF16 and F64")));
            }
        };
        if numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err(self.refuse(format!("`{name}` holds numbers that are not finite")))
        }
    }

    pub(super) fn refuse(&self, problem: String) -> EncoderError {
        EncoderError::file(self.path, problem)
    }
}

/// The numbers in little-endian `bytes`.
fn of_bytes<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<N>().0.iter().map(move |bytes| number(*bytes))
}
