//! Protobuf: the same bodies as little-endian arrays, for the two that are large.
//!
//! Field numbers are those of the package `tinker_public`, which the protocol's own client carries.

use std::collections::BTreeMap;

use prost::Message;

use super::{
    Datum, ForwardBackward, ForwardBackwardInput, ForwardBackwardReply, ModelInput, SampleReply,
    SampledSequence, StopKind, Tensor, WireError,
};

const FLOAT32: i32 = 1;
const INT64: i32 = 2;
const INT32: i32 = 3;
const BFLOAT16: i32 = 4;

#[derive(Clone, PartialEq, Message)]
struct ForwardBackwardMessage {
    #[prost(string, tag = "1")]
    model_id: String,
    #[prost(int32, tag = "2")]
    seq_id: i32,
    #[prost(message, repeated, tag = "3")]
    data: Vec<DatumMessage>,
    #[prost(string, tag = "4")]
    loss_fn: String,
    #[prost(btree_map = "string, double", tag = "5")]
    loss_fn_config: BTreeMap<String, f64>,
    #[prost(bool, tag = "6")]
    forward_only: bool,
    #[prost(btree_map = "string, message", tag = "7")]
    loss_fn_config_v2: BTreeMap<String, SettingMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SettingMessage {
    #[prost(oneof = "Setting", tags = "1, 2")]
    value: Option<Setting>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Setting {
    #[prost(double, tag = "1")]
    Number(f64),
    #[prost(string, tag = "2")]
    Text(String),
}

#[derive(Clone, PartialEq, Message)]
struct DatumMessage {
    #[prost(message, repeated, tag = "1")]
    model_input: Vec<ChunkMessage>,
    #[prost(btree_map = "string, message", tag = "2")]
    loss_fn_inputs: BTreeMap<String, TensorMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ChunkMessage {
    #[prost(message, optional, tag = "1")]
    encoded_text: Option<EncodedTextMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct EncodedTextMessage {
    #[prost(bytes = "vec", tag = "1")]
    tokens: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorMessage {
    #[prost(bytes = "vec", optional, tag = "1")]
    dense: Option<Vec<u8>>,
    #[prost(int32, tag = "3")]
    dtype: i32,
    #[prost(int64, repeated, tag = "4")]
    shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct OutputMessage {
    #[prost(string, tag = "1")]
    loss_fn_output_type: String,
    #[prost(message, repeated, tag = "2")]
    loss_fn_outputs: Vec<RecordMessage>,
    #[prost(btree_map = "string, double", tag = "3")]
    metrics: BTreeMap<String, f64>,
}

#[derive(Clone, PartialEq, Message)]
struct RecordMessage {
    #[prost(btree_map = "string, message", tag = "2")]
    fields: BTreeMap<String, BatchedMessage>,
    #[prost(int64, tag = "3")]
    num_datums: i64,
}

#[derive(Clone, PartialEq, Message)]
struct BatchedMessage {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    offsets: Vec<u8>,
    #[prost(int32, tag = "3")]
    dtype: i32,
    #[prost(int64, repeated, tag = "4")]
    trailing_shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct SampleMessage {
    #[prost(message, repeated, tag = "1")]
    sequences: Vec<SequenceMessage>,
    #[prost(bytes = "vec", optional, tag = "2")]
    prompt_logprobs: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct SequenceMessage {
    #[prost(int32, tag = "1")]
    stop_reason: i32,
    #[prost(bytes = "vec", tag = "2")]
    tokens: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "3")]
    logprobs: Option<Vec<u8>>,
}

impl ForwardBackward {
    /// Its protobuf. Numbers of the loss's settings stand in both fields that servers read.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let settings = self.forward_backward_input.loss_fn_config.iter().flatten();
        let message = ForwardBackwardMessage {
            model_id: self.model_id.clone(),
            seq_id: self.seq_id.and_then(|id| i32::try_from(id).ok()).unwrap_or_default(),
            data: self.forward_backward_input.data.iter().map(DatumMessage::of).collect(),
            loss_fn: self.forward_backward_input.loss_fn.clone(),
            loss_fn_config: settings.clone().map(|(name, &value)| (name.clone(), value)).collect(),
            forward_only: self.forward_only,
            loss_fn_config_v2: settings.map(|(name, &value)| (name.clone(), number(value))).collect(),
        };
        message.encode_to_vec()
    }

    /// Reads protobuf.
    ///
    /// # Errors
    /// Bytes that are no such message, tensors whose bytes do not fit their type, images, settings that are text.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, WireError> {
        let what = "a forward_backward request";
        let message = ForwardBackwardMessage::decode(bytes).map_err(|error| WireError::new(what, error))?;
        let mut settings: BTreeMap<String, f64> = message.loss_fn_config.into_iter().collect();
        for (name, setting) in message.loss_fn_config_v2 {
            match setting.value {
                Some(Setting::Number(value)) => settings.insert(name, value),
                _ => {
                    return Err(WireError::new(
                        what,
                        format!("the setting `{name}` of the loss is no number"),
                    ));
                }
            };
        }
        Ok(Self {
            model_id: message.model_id,
            seq_id: Some(message.seq_id.into()),
            forward_backward_input: ForwardBackwardInput {
                loss_fn: message.loss_fn,
                loss_fn_config: (!settings.is_empty()).then_some(settings),
                data: message.data.into_iter().map(DatumMessage::read).collect::<Result<_, _>>()?,
            },
            forward_only: message.forward_only,
        })
    }
}

impl ForwardBackwardReply {
    /// Its protobuf: one record that holds each of the outputs' tensors end to end. Every row must have the same names.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let names: Vec<&String> = self.loss_fn_outputs.first().into_iter().flat_map(BTreeMap::keys).collect();
        let column =
            |name: &String| self.loss_fn_outputs.iter().filter_map(|row| row.get(name)).collect::<Vec<_>>();
        let fields =
            names.into_iter().map(|name| (name.clone(), BatchedMessage::of(&column(name)))).collect();
        let message = OutputMessage {
            loss_fn_output_type: self.loss_fn_output_type.clone(),
            loss_fn_outputs: vec![RecordMessage { fields, num_datums: self.loss_fn_outputs.len() as i64 }],
            metrics: self.metrics.clone().into_iter().collect(),
        };
        message.encode_to_vec()
    }

    /// Reads protobuf.
    ///
    /// # Errors
    /// Bytes that are no such message, or offsets that do not fit the numbers.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, WireError> {
        let what = "a forward_backward result";
        let message = OutputMessage::decode(bytes).map_err(|error| WireError::new(what, error))?;
        let mut rows = Vec::new();
        for record in message.loss_fn_outputs {
            let count = usize::try_from(record.num_datums).map_err(|error| WireError::new(what, error))?;
            let columns: Vec<(String, Vec<Tensor>)> = record
                .fields
                .into_iter()
                .map(|(name, column)| Ok((name, column.read(count)?)))
                .collect::<Result<_, WireError>>()?;
            let mut record = vec![BTreeMap::new(); if columns.is_empty() { 0 } else { count }];
            for (name, tensors) in columns {
                for (row, tensor) in record.iter_mut().zip(tensors) {
                    row.insert(name.clone(), tensor);
                }
            }
            rows.append(&mut record);
        }
        Ok(Self {
            loss_fn_output_type: message.loss_fn_output_type,
            loss_fn_outputs: rows,
            metrics: message.metrics.into_iter().collect(),
        })
    }
}

impl SampleReply {
    /// Its protobuf.
    ///
    /// # Errors
    /// A token that is no i32.
    pub fn to_protobuf(&self) -> Result<Vec<u8>, WireError> {
        let absent = |numbers: &Vec<Option<f32>>| {
            bytes_of(numbers.iter().map(|number| number.unwrap_or(f32::NAN)).map(f32::to_le_bytes))
        };
        let message = SampleMessage {
            sequences: self.sequences.iter().map(SequenceMessage::of).collect::<Result<_, _>>()?,
            prompt_logprobs: self.prompt_logprobs.as_ref().map(absent),
        };
        Ok(message.encode_to_vec())
    }

    /// Reads protobuf; log-probabilities that are no numbers were not computed.
    ///
    /// # Errors
    /// Bytes that are no such message, a stop reason that is not known.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, WireError> {
        let message =
            SampleMessage::decode(bytes).map_err(|error| WireError::new("a sample result", error))?;
        let present = |bytes: &Vec<u8>| {
            let numbers = floats(bytes)?;
            Ok(numbers.into_iter().map(|number| (!number.is_nan()).then_some(number)).collect())
        };
        Ok(Self {
            sequences: message.sequences.into_iter().map(SequenceMessage::read).collect::<Result<_, _>>()?,
            prompt_logprobs: message.prompt_logprobs.as_ref().map(present).transpose()?,
        })
    }
}

impl SequenceMessage {
    fn of(sequence: &SampledSequence) -> Result<Self, WireError> {
        Ok(Self {
            stop_reason: match sequence.stop_reason {
                StopKind::Stop => 0,
                StopKind::Length => 1,
            },
            tokens: int32s(sequence.tokens.iter().copied())?,
            logprobs: sequence.logprobs.as_ref().map(|all| bytes_of(all.iter().map(|one| one.to_le_bytes()))),
        })
    }

    fn read(self) -> Result<SampledSequence, WireError> {
        let stop_reason = match self.stop_reason {
            0 => StopKind::Stop,
            1 => StopKind::Length,
            other => return Err(WireError::new("a sample result", format!("its stop reason is {other}"))),
        };
        Ok(SampledSequence {
            stop_reason,
            tokens: numbers(&self.tokens, i32::from_le_bytes)?.into_iter().map(i64::from).collect(),
            logprobs: self.logprobs.as_deref().map(floats).transpose()?,
            sequence_id: String::new(),
        })
    }
}

impl DatumMessage {
    fn of(datum: &Datum) -> Self {
        let tokens = bytes_of(datum.model_input.tokens().map(|token| (token as i32).to_le_bytes()));
        let inputs = datum.loss_fn_inputs.iter();
        Self {
            model_input: vec![ChunkMessage { encoded_text: Some(EncodedTextMessage { tokens }) }],
            loss_fn_inputs: inputs.map(|(name, tensor)| (name.clone(), TensorMessage::of(tensor))).collect(),
        }
    }

    fn read(self) -> Result<Datum, WireError> {
        let mut tokens = Vec::new();
        for chunk in self.model_input {
            let text = chunk.encoded_text.ok_or_else(|| WireError::new("a row", "only text is read"))?;
            tokens.extend(numbers(&text.tokens, i32::from_le_bytes)?.into_iter().map(i64::from));
        }
        let read = |(name, tensor): (String, TensorMessage)| Ok((name, tensor.read()?));
        Ok(Datum {
            model_input: ModelInput::of(tokens),
            loss_fn_inputs: self.loss_fn_inputs.into_iter().map(read).collect::<Result<_, WireError>>()?,
        })
    }
}

impl TensorMessage {
    fn of(tensor: &Tensor) -> Self {
        let (dtype, dense) = bytes_of_tensor(tensor);
        Self { dense: Some(dense), dtype, shape: vec![tensor.len() as i64] }
    }

    fn read(self) -> Result<Tensor, WireError> {
        let dense = self.dense.ok_or_else(|| WireError::new("a tensor", "only dense ones are read"))?;
        tensor_of(&dense, self.dtype)
    }
}

impl BatchedMessage {
    fn of(tensors: &[&Tensor]) -> Self {
        let (mut data, mut offsets, mut dtype) = (Vec::new(), vec![0_i64], FLOAT32);
        for tensor in tensors {
            let (kind, mut bytes) = bytes_of_tensor(tensor);
            dtype = kind;
            data.append(&mut bytes);
            offsets.push(data.len() as i64);
        }
        let offsets = bytes_of(offsets.into_iter().map(i64::to_le_bytes));
        Self { data, offsets, dtype, trailing_shape: Vec::new() }
    }

    /// The tensors of `count` rows.
    fn read(self, count: usize) -> Result<Vec<Tensor>, WireError> {
        let offsets = numbers(&self.offsets, i64::from_le_bytes)?;
        let wrong = || WireError::new("a tensor of several rows", "its offsets do not fit its numbers");
        if offsets.len() != count + 1 {
            return Err(wrong());
        }
        let piece = |ends: &[i64]| {
            let [from, to] = [ends[0], ends[1]].map(|end| usize::try_from(end).unwrap_or(usize::MAX));
            tensor_of(self.data.get(from..to).ok_or_else(wrong)?, self.dtype)
        };
        offsets.windows(2).map(piece).collect()
    }
}

fn number(value: f64) -> SettingMessage {
    SettingMessage { value: Some(Setting::Number(value)) }
}

fn bytes_of<const N: usize>(numbers: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    numbers.flatten().collect()
}

fn int32s(tokens: impl Iterator<Item = i64>) -> Result<Vec<u8>, WireError> {
    let narrow = |token: i64| i32::try_from(token).map_err(|error| WireError::new("a token", error));
    Ok(bytes_of(tokens.map(narrow).collect::<Result<Vec<_>, _>>()?.into_iter().map(i32::to_le_bytes)))
}

fn bytes_of_tensor(tensor: &Tensor) -> (i32, Vec<u8>) {
    match tensor {
        Tensor::Floats(numbers) => (FLOAT32, bytes_of(numbers.iter().map(|number| number.to_le_bytes()))),
        Tensor::Integers(numbers) => (INT64, bytes_of(numbers.iter().map(|number| number.to_le_bytes()))),
    }
}

fn tensor_of(bytes: &[u8], dtype: i32) -> Result<Tensor, WireError> {
    match dtype {
        FLOAT32 => Ok(Tensor::Floats(floats(bytes)?)),
        INT64 => Ok(Tensor::Integers(numbers(bytes, i64::from_le_bytes)?)),
        INT32 => {
            Ok(Tensor::Integers(numbers(bytes, i32::from_le_bytes)?.into_iter().map(i64::from).collect()))
        }
        BFLOAT16 => {
            let widen = |bytes: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16);
            Ok(Tensor::Floats(numbers(bytes, widen)?))
        }
        other => Err(WireError::new("a tensor", format!("its type {other} is not known"))),
    }
}

fn floats(bytes: &[u8]) -> Result<Vec<f32>, WireError> {
    numbers(bytes, f32::from_le_bytes)
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, WireError> {
    let (whole, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        let problem = format!("{} bytes are no whole numbers of {N}", bytes.len());
        return Err(WireError::new("a tensor", problem));
    }
    Ok(whole.iter().map(|bytes| read(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ForwardBackward {
        let inputs = [
            ("target_tokens", Tensor::Integers(vec![40, 77, 114, 254])),
            ("logprobs", Tensor::Floats(vec![0.0, 0.0, 0.0, -6.1984])),
            ("advantages", Tensor::Floats(vec![0.0, 0.0, 0.0, 1.0])),
        ];
        ForwardBackward {
            model_id: "model_95401ece".into(),
            seq_id: Some(17),
            forward_backward_input: ForwardBackwardInput {
                loss_fn: "ppo".into(),
                loss_fn_config: Some([("clip_low_threshold".to_owned(), 0.8)].into()),
                data: vec![Datum {
                    model_input: ModelInput::of([3, 40, 77, 114]),
                    loss_fn_inputs: inputs.map(|(name, tensor)| (name.to_owned(), tensor)).into(),
                }],
            },
            forward_only: true,
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        assert_eq!(ForwardBackward::from_protobuf(&request().to_protobuf()).unwrap(), request());
    }

    #[test]
    fn rows_of_different_lengths_are_told_apart_by_their_offsets() {
        let row = |numbers: &[f32]| {
            BTreeMap::from([
                ("logprobs".to_owned(), Tensor::Floats(numbers.to_vec())),
                ("counts".to_owned(), Tensor::Integers(vec![numbers.len() as i64])),
            ])
        };
        let reply = ForwardBackwardReply {
            loss_fn_output_type: "scalar".into(),
            loss_fn_outputs: vec![row(&[-1.0, -2.0, -3.0]), row(&[]), row(&[-0.5])],
            metrics: [("loss:sum".to_owned(), 1.25)].into(),
        };
        assert_eq!(ForwardBackwardReply::from_protobuf(&reply.to_protobuf()).unwrap(), reply);
    }

    #[test]
    fn what_was_not_computed_is_absent_on_both_sides() {
        let sequence = SampledSequence {
            stop_reason: StopKind::Length,
            tokens: vec![394, 494],
            logprobs: Some(vec![-6.5, -6.37]),
            sequence_id: String::new(),
        };
        let reply = SampleReply {
            sequences: vec![sequence],
            prompt_logprobs: Some(vec![None, Some(-1.5), Some(0.0)]),
        };
        assert_eq!(SampleReply::from_protobuf(&reply.to_protobuf().unwrap()).unwrap(), reply);
    }

    /// Bytes cut anywhere either still are a message or are refused; nothing panics.
    #[test]
    fn torn_bytes_do_no_harm() {
        let bytes = request().to_protobuf();
        let read =
            (0..bytes.len()).filter(|&end| ForwardBackward::from_protobuf(&bytes[..end]).is_ok()).count();
        assert!(read < bytes.len() / 4, "{read} of {} beginnings were read", bytes.len());
        let ragged = TensorMessage { dense: Some(vec![1, 2, 3]), dtype: FLOAT32, shape: vec![1] };
        assert!(ragged.read().is_err());
        let beyond =
            BatchedMessage { data: vec![0; 4], offsets: vec![0; 8], dtype: FLOAT32, trailing_shape: vec![] };
        assert!(beyond.read(1).is_err());
    }
}
