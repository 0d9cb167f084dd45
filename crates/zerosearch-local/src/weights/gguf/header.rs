//! The header: what a GGUF file says about itself before its tensors (versions 2 and 3 of the format).

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use zerosearch_learner::Result;

use super::cursor::Cursor;
use super::encoding::Encoding;
use super::metadata::Metadata;

/// Bytes of the shortest metadata pair: an empty name (8), a kind (4), a one-byte value.
const SMALLEST_PAIR: usize = 13;
/// Bytes of the shortest tensor entry: an empty name (8), a count of dimensions (4), an encoding (4), an offset (8).
const SMALLEST_TENSOR: usize = 24;
/// Far more than any model has: a damaged count must not cost memory.
const MOST_PAIRS: usize = 1 << 16;
/// As for pairs; the largest models have some thousands.
const MOST_TENSORS: usize = 1 << 18;
/// Tensors begin at multiples of this where the file does not say otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;

/// What stands before the tensors.
pub(super) struct Header<'a> {
    pub(super) metadata: Metadata<'a>,
    /// In the order of the file; every one lies inside the file.
    pub(super) tensors: Vec<Tensor>,
    file: &'a [u8],
}

/// Where one tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// Outermost dimension first, as everywhere but in the file itself.
    pub(super) shape: Vec<usize>,
    pub(super) encoding: Encoding,
    /// Its bytes, counted from the start of the file.
    pub(super) bytes: Range<usize>,
}

/// A tensor entry as it stands in the file.
struct Entry {
    name: String,
    shape: Vec<usize>,
    encoding: Encoding,
    length: u64,
    offset: u64,
}

impl<'a> Header<'a> {
    /// Reads the header of the file at `path`, whose whole content is `bytes`. Anything that does not fit the file is
    /// refused, so that tensors can be read without further checks.
    pub(super) fn read(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(path, bytes);
        check_version(&mut cursor)?;
        let tensors = cursor.count(SMALLEST_TENSOR, MOST_TENSORS, "the number of tensors")?;
        let pairs = cursor.count(SMALLEST_PAIR, MOST_PAIRS, "the number of metadata keys")?;
        let metadata = Metadata::read(path, &mut cursor, pairs)?;
        let alignment = alignment(&metadata)?;
        let entries = read_entries(&mut cursor, tensors)?;
        let start = (cursor.position() as u64).next_multiple_of(alignment);
        let tensors = entries
            .into_iter()
            .map(|entry| {
                let name = entry.name.clone();
                entry.locate(start, alignment, bytes.len()).map_err(|problem| {
                    cursor.refuse(format!(
                        "tensor `{name}` {problem}; the file is damaged or incomplete, fetch it again"
                    ))
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { metadata, tensors, file: bytes })
    }

    /// The bytes of one of the file's tensors.
    pub(super) fn bytes_of(&self, tensor: &Tensor) -> &'a [u8] {
        &self.file[tensor.bytes.clone()]
    }
}

fn check_version(cursor: &mut Cursor<'_>) -> Result<()> {
    let magic = cursor.take(4, "the magic number")?;
    if magic != b"GGUF" {
        return Err(cursor.refuse("this is not a GGUF file: it does not begin with `GGUF`"));
    }
    match cursor.u32("the version")? {
        2 | 3 => Ok(()),
        1 => Err(cursor.refuse("GGUF version 1 is not read (2 and 3 are); convert the model again")),
        swapped if matches!(swapped.swap_bytes(), 1..=3) => {
            Err(cursor.refuse("this is a big-endian GGUF file; only little-endian ones are read"))
        }
        other => Err(cursor.refuse(format!("GGUF version {other} is not known (2 and 3 are)"))),
    }
}

fn alignment(metadata: &Metadata<'_>) -> Result<u64> {
    let alignment =
        metadata.count("general.alignment")?.map_or(DEFAULT_ALIGNMENT, |alignment| alignment as u64);
    if !alignment.is_power_of_two() {
        return Err(
            metadata.refuse(format!("`general.alignment` is {alignment}, it has to be a power of two"))
        );
    }
    Ok(alignment)
}

fn read_entries(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(count);
    let mut names = HashSet::with_capacity(count);
    for index in 0..count {
        let entry = Entry::read(cursor, index)?;
        if !names.insert(entry.name.clone()) {
            return Err(cursor.refuse(format!("tensor `{}` is given twice; the file is damaged", entry.name)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

impl Entry {
    fn read(cursor: &mut Cursor<'_>, index: usize) -> Result<Self> {
        let name = cursor.string(&format!("the name of tensor {index}"))?;
        let name = String::from_utf8(name.to_vec())
            .map_err(|_| cursor.refuse(format!("the name of tensor {index} is not UTF-8")))?;
        let what = format!("the entry of tensor `{name}`");
        let dimensions = cursor.u32(&what)?;
        if !(1..=4).contains(&dimensions) {
            return Err(
                cursor.refuse(format!("tensor `{name}` has {dimensions} dimensions, 1 to 4 are possible"))
            );
        }
        let mut sizes = Vec::with_capacity(4);
        for _ in 0..dimensions {
            sizes.push(cursor.u64(&what)?);
        }
        let code = cursor.u32(&what)?;
        let encoding = Encoding::from_code(code)
            .map_err(|problem| cursor.refuse(format!("tensor `{name}` {problem}")))?;
        let offset = cursor.u64(&what)?;
        let length = encoding
            .bytes_of(&sizes)
            .map_err(|problem| cursor.refuse(format!("tensor `{name}` {problem}")))?;
        // `bytes_of` has multiplied them all, so that each fits.
        let shape = sizes.iter().rev().map(|&size| size as usize).collect();
        Ok(Self { name, shape, encoding, length, offset })
    }

    fn locate(self, start: u64, alignment: u64, file: usize) -> std::result::Result<Tensor, String> {
        if !self.offset.is_multiple_of(alignment) {
            return Err(format!("begins at {}, which is no multiple of {alignment}", self.offset));
        }
        let begin = start.checked_add(self.offset);
        let end = begin.and_then(|begin| begin.checked_add(self.length)).filter(|&end| end <= file as u64);
        let (Some(begin), Some(end)) = (begin, end) else {
            return Err(format!(
                "takes {} bytes from byte {} of the tensors on, past the end of the file ({file} bytes)",
                self.length, self.offset
            ));
        };
        let bytes = begin as usize..end as usize;
        Ok(Tensor { name: self.name, shape: self.shape, encoding: self.encoding, bytes })
    }
}
