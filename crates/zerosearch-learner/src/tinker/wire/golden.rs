//! Golden bytes: what the protocol's own client (`tinker` 0.38.0) makes of its messages, written by `tools/tinker_fixtures.py`.

use std::collections::BTreeMap;

use super::{
    Datum, ForwardBackward, ForwardBackwardInput, ForwardBackwardReply, ModelInput, SampleReply,
    SampledSequence, StopKind, Tensor,
};

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_request_is_the_clients_to_the_byte() {
    let inputs = [
        ("target_tokens", Tensor::Integers(vec![40, 77, 114, 254])),
        ("logprobs", Tensor::Floats(vec![0.0, 0.0, 0.0, -6.125])),
        ("advantages", Tensor::Floats(vec![0.0, 0.0, 0.0, 1.0])),
    ];
    let request = ForwardBackward {
        model_id: "model_95401ece".into(),
        seq_id: Some(17),
        forward_backward_input: ForwardBackwardInput {
            loss_fn: "ppo".into(),
            loss_fn_config: Some([("clip_low_threshold".to_owned(), 0.75)].into()),
            data: vec![Datum {
                model_input: ModelInput::of([3, 40, 77, 114]),
                loss_fn_inputs: inputs.map(|(name, tensor)| (name.to_owned(), tensor)).into(),
            }],
        },
        forward_only: false,
    };
    let golden = bytes(include_str!("golden/request.hex"));
    assert_eq!(request.to_protobuf(), golden);
    assert_eq!(ForwardBackward::from_protobuf(&golden).unwrap(), request);
}

/// In two records, as a server answers that computed them apart.
#[test]
fn outputs_of_several_records_are_read_in_their_order() {
    let reply = ForwardBackwardReply::from_protobuf(&bytes(include_str!("golden/output.hex"))).unwrap();
    let row = |numbers: &[f32]| BTreeMap::from([("logprobs".to_owned(), Tensor::Floats(numbers.to_vec()))]);
    assert_eq!(reply.loss_fn_outputs, [row(&[-1.0, -2.0, -3.0]), row(&[-0.5]), row(&[-4.0, -0.25])]);
    assert_eq!((reply.loss_fn_output_type.as_str(), reply.metrics["loss:sum"]), ("scalar", 1.25));
}

#[test]
fn samples_are_the_clients_to_the_byte() {
    let sequence = |stop_reason, tokens: &[i64], logprobs: Option<&[f32]>| SampledSequence {
        stop_reason,
        tokens: tokens.to_vec(),
        logprobs: logprobs.map(<[f32]>::to_vec),
        sequence_id: String::new(),
    };
    let reply = SampleReply {
        sequences: vec![
            sequence(StopKind::Length, &[394, 494], Some(&[-6.5, -6.25])),
            sequence(StopKind::Stop, &[7], None),
        ],
        prompt_logprobs: Some(vec![None, Some(-1.5), Some(0.0)]),
    };
    let golden = bytes(include_str!("golden/sample.hex"));
    assert_eq!(reply.to_protobuf().unwrap(), golden);
    assert_eq!(SampleReply::from_protobuf(&golden).unwrap(), reply);
}
