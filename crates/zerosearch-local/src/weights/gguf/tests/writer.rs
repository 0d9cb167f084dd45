//! A writer of GGUF files, as the format's description lays them out, for tests.

use std::path::{Path, PathBuf};

/// A file in the making.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) magic: [u8; 4],
    pub(super) version: u32,
    pub(super) alignment: usize,
    /// Names and their values with the kind in front.
    pub(super) pairs: Vec<(String, Vec<u8>)>,
    pub(super) tensors: Vec<Stored>,
}

/// A tensor to be written.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) name: String,
    /// Outermost first.
    pub(super) shape: Vec<u64>,
    pub(super) code: u32,
    pub(super) bytes: Vec<u8>,
    /// Added to the offset that the file gives.
    pub(super) misplaced: u64,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { magic: *b"GGUF", version: 3, alignment: 32, pairs: Vec::new(), tensors: Vec::new() }
    }

    fn put(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.pairs.push((key.to_owned(), [&kind.to_le_bytes(), value].concat()));
    }

    pub(super) fn count(&mut self, key: &str, value: u32) {
        self.put(key, 4, &value.to_le_bytes());
    }

    pub(super) fn number(&mut self, key: &str, value: f32) {
        self.put(key, 6, &value.to_le_bytes());
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.put(key, 7, &[u8::from(value)]);
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.put(key, 8, &string(value));
    }

    pub(super) fn texts<T: AsRef<str>>(&mut self, key: &str, values: &[T]) {
        let content: Vec<u8> = values.iter().flat_map(|value| string(value.as_ref())).collect();
        self.list(key, 8, values.len(), &content);
    }

    pub(super) fn integers(&mut self, key: &str, values: &[i32]) {
        let content: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.list(key, 5, values.len(), &content);
    }

    pub(super) fn floats(&mut self, key: &str, values: &[f32]) {
        let content: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.list(key, 6, values.len(), &content);
    }

    fn list(&mut self, key: &str, kind: u32, count: usize, content: &[u8]) {
        self.put(key, 9, &[&kind.to_le_bytes()[..], &(count as u64).to_le_bytes(), content].concat());
    }

    /// Takes a key out again.
    pub(super) fn without(mut self, key: &str) -> Self {
        self.pairs.retain(|(name, _)| name != key);
        self
    }

    pub(super) fn tensor(&mut self, name: &str, shape: &[usize], code: u32, bytes: Vec<u8>) {
        let shape = shape.iter().map(|&size| size as u64).collect();
        self.tensors.push(Stored { name: name.to_owned(), shape, code, bytes, misplaced: 0 });
    }

    /// A tensor of 32-bit floats.
    pub(super) fn f32_tensor(&mut self, name: &str, shape: &[usize], numbers: &[f32]) {
        self.tensor(name, shape, 0, numbers.iter().flat_map(|number| number.to_le_bytes()).collect());
    }

    /// The file, and the positions in it at which one thing ends and another begins.
    pub(super) fn build(&self) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut borders = Vec::new();
        let mut put = |piece: &[u8]| {
            borders.push(bytes.len());
            bytes.extend_from_slice(piece);
            bytes.len()
        };
        put(&self.magic);
        put(&self.version.to_le_bytes());
        put(&(self.tensors.len() as u64).to_le_bytes());
        put(&(self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            put(&string(key));
            put(&value[..4]);
            put(&value[4..]);
        }
        let mut offset = 0;
        let mut end = 0;
        for tensor in &self.tensors {
            put(&string(&tensor.name));
            put(&(tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|size| {
                put(&size.to_le_bytes());
            });
            put(&tensor.code.to_le_bytes());
            end = put(&(offset as u64).wrapping_add(tensor.misplaced).to_le_bytes());
            offset = (offset + tensor.bytes.len()).next_multiple_of(self.alignment);
        }
        put(&vec![0; end.next_multiple_of(self.alignment) - end]);
        for (index, tensor) in self.tensors.iter().enumerate() {
            put(&tensor.bytes);
            let last = index + 1 == self.tensors.len();
            let length = tensor.bytes.len();
            put(&vec![0; if last { 0 } else { length.next_multiple_of(self.alignment) - length }]);
        }
        (bytes, borders)
    }

    /// Writes the file into `folder`.
    pub(super) fn save(&self, folder: &Path) -> PathBuf {
        let path = folder.join("model.gguf");
        std::fs::write(&path, self.build().0).unwrap();
        path
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}
