//! Blocks whose numbers are known: by hand, and from `gguf` 0.19.0 (PyPI), whose `quants.dequantize` gave the long rows.

use half::{bf16, f16};

use super::Encoding;

/// A block that exercises every bit: byte i is 7i² + 37i + 11 mod 256, then the half-precision floats are put in place.
fn block(length: usize, halves: &[(usize, f32)]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|i| ((7 * i * i + 37 * i + 11) % 256) as u8).collect();
    for &(at, value) in halves {
        bytes[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
    }
    bytes
}

/// Every `stride`-th number of one block, and the sum of all 32 or 256. All are sums of few powers of two, so exact.
fn holds(encoding: Encoding, halves: &[(usize, f32)], stride: usize, expected: &[f32], sum: f64) {
    let numbers = encoding.decode(&block(encoding.block_bytes(), halves));
    assert_eq!(numbers.len(), encoding.block_numbers());
    assert_eq!(numbers.iter().copied().step_by(stride).collect::<Vec<_>>(), expected);
    assert_eq!(numbers.iter().map(|&x| f64::from(x)).sum::<f64>(), sum);
}

#[test]
fn plain_numbers_are_read_as_they_are() {
    assert_eq!(
        Encoding::F32.decode(&[1.5_f32.to_le_bytes(), (-0.1_f32).to_le_bytes()].concat()),
        [1.5, -0.1]
    );
    let halves = [f16::from_f32(-2.25).to_le_bytes(), f16::from_f32(6e-8).to_le_bytes()].concat();
    // 2^-24, the smallest half-precision number, is the one nearest to 6e-8.
    assert_eq!(Encoding::F16.decode(&halves), [-2.25, 2.0_f32.powi(-24)]);
    assert_eq!(Encoding::Bf16.decode(&bf16::from_f32(-3.0).to_le_bytes()), [-3.0]);
}

/// By hand: d = 0.5; the first pair byte 0x2F has codes 15 (number 0) and 2 (number 16).
#[test]
fn four_bit_pairs_are_half_a_block_apart() {
    let mut bytes = vec![0; 18];
    bytes[..2].copy_from_slice(&f16::from_f32(0.5).to_le_bytes());
    bytes[2] = 0x2F;
    let numbers = Encoding::Q4_0.decode(&bytes);
    assert_eq!((numbers[0], numbers[16], numbers[1]), (3.5, -3.0, -4.0));
}

/// By hand: sub-block 4 takes its scale from byte 8 (low half: 5) and the top of byte 0 (bits 10), so 2 * 16 + 5 = 37, and its
/// minimum from byte 8 (high half: 3) and the top of byte 4 (bits 01), so 19; with d = 1, m = 0.5 and code 2: 74 - 9.5.
#[test]
fn scales_of_the_later_sub_blocks_are_put_together_from_three_bytes() {
    let mut bytes = vec![0; 144];
    bytes[..2].copy_from_slice(&f16::from_f32(1.0).to_le_bytes());
    bytes[2..4].copy_from_slice(&f16::from_f32(0.5).to_le_bytes());
    bytes[4] = 0b1000_0000;
    bytes[4 + 4] = 0b0100_0000;
    bytes[4 + 8] = 0x35;
    bytes[16 + 64] = 0x02;
    assert_eq!(Encoding::Q4K.decode(&bytes)[128], 64.5);
}

#[test]
fn several_blocks_follow_one_another() {
    let one = block(34, &[(0, 1.0)]);
    let mut two = one.clone();
    two.extend(block(34, &[(0, 2.0)]));
    let numbers = Encoding::Q8_0.decode(&two);
    assert_eq!(numbers[..32], Encoding::Q8_0.decode(&one));
    assert_eq!(numbers[32], 2.0 * numbers[0]);
}

#[test]
fn sizes_are_whole_blocks_and_never_overflow() {
    assert_eq!(Encoding::Q4K.bytes_of(&[512, 3]), Ok(2 * 3 * 144));
    assert!(Encoding::Q4K.bytes_of(&[288, 3]).is_err_and(|why| why.contains("288") && why.contains("256")));
    assert!(Encoding::F32.bytes_of(&[4, 0]).is_err_and(|why| why.contains("dimension of 0")));
    assert!(Encoding::F32.bytes_of(&[1 << 32, 1 << 31]).is_err_and(|why| why.contains("large")));
    assert!(Encoding::F32.bytes_of(&[1 << 32, 1 << 33]).is_err_and(|why| why.contains("large")));
}

#[test]
fn an_unknown_encoding_is_refused_by_name_with_those_known() {
    let why = Encoding::from_code(10).unwrap_err();
    assert!(why.contains("Q2_K") && why.contains("Q4_K, Q5_K, Q6_K"), "{why}");
    assert!(Encoding::from_code(4711).unwrap_err().contains("type 4711"));
}

#[test]
fn q4_0_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        -0.25976562, 0.037109375, 0.25976562, -0.18554688, -0.111328125, -0.111328125, -0.18554688,
        0.25976562, 0.037109375, -0.25976562, -0.037109375, 0.111328125, 0.18554688, 0.18554688, 0.111328125,
        -0.037109375, -0.037109375, 0.111328125, -0.296875, -0.037109375, 0.22265625, -0.07421875, 0.25976562,
        0.0, -0.18554688, 0.25976562, 0.111328125, 0.0, -0.07421875, -0.111328125, -0.111328125, -0.07421875,
    ];
    holds(Encoding::Q4_0, &[(0, 0.0371)], 1, &expected, -0.037109375);
}

#[test]
fn q4_1_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        0.04345703, -0.40185547, -0.32763672, -0.32763672, -0.40185547, 0.04345703, -0.17919922, -0.47607422,
        -0.25341797, -0.10498047, -0.030761719, -0.030761719, -0.10498047, -0.25341797, -0.47607422,
        -0.17919922, -0.5131836, -0.25341797, 0.0063476562, -0.29052734, 0.04345703, -0.2163086, -0.40185547,
        0.04345703, -0.10498047, -0.2163086, -0.29052734, -0.32763672, -0.32763672, -0.29052734, -0.2163086,
        -0.14208984,
    ];
    holds(Encoding::Q4_1, &[(0, 0.0371), (2, -0.513)], 1, &expected, -6.958984375);
}

#[test]
fn q5_0_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        0.18554688, -0.40820312, -0.48242188, -0.037109375, 0.33398438, 0.037109375, 0.25976562, -0.18554688,
        0.48242188, -0.111328125, -0.18554688, 0.25976562, 0.037109375, 0.33398438, -0.037109375, 0.111328125,
        0.51953125, 0.22265625, 0.5566406, 0.296875, -0.48242188, -0.037109375, -0.18554688, -0.296875,
        0.22265625, 0.18554688, -0.40820312, -0.37109375, 0.296875, 0.37109375, 0.48242188, -0.51953125,
    ];
    holds(Encoding::Q5_0, &[(0, 0.0371)], 1, &expected, 1.447265625);
}

#[test]
fn q5_1_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        0.19189453, 0.63720703, 0.41455078, 0.11767578, -0.25341797, -0.10498047, -0.030761719, -0.030761719,
        0.48876953, 0.34033203, -0.47607422, -0.17919922, 0.63720703, 0.19189453, 0.26611328, -0.32763672,
        0.63720703, -0.2163086, 0.19189453, 0.04345703, -0.10498047, 0.3774414, 0.30322266, 0.26611328,
        0.26611328, -0.29052734, 0.3774414, -0.14208984, -0.030761719, 0.15478516, 0.34033203, -0.030761719,
    ];
    holds(Encoding::Q5_1, &[(0, 0.0371), (2, -0.513)], 1, &expected, 4.025390625);
}

#[test]
fn q8_0_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        4.1933594, -2.6347656, 0.5566406, 4.267578, -1.0019531, 3.7480469, -0.48242188, -4.1933594, 2.1152344,
        -0.5566406, -2.7089844, -4.341797, 4.044922, 3.4511719, 3.3769531, 3.8222656, -4.7128906, -3.2285156,
        -1.2246094, 1.2988281, 4.341797, -1.5957031, 2.4863281, -2.4121094, 2.7089844, -1.1503906, -4.4902344,
        2.1894531, -0.111328125, -1.8925781, -3.1542969, -3.8964844,
    ];
    holds(Encoding::Q8_0, &[(0, 0.0371)], 1, &expected, -1.1875);
}

#[test]
fn q4_k_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        32.29541, 28.955566, 33.40869, 27.842285, 30.068848, 26.623535, 15.268066, 24.730957, 24.730957,
        13.375488, 36.1167, 44.35498, 49.847168, 30.624512, 38.876465, 26.519043, 30.638184, 27.89209,
        38.876465, 31.057129, 32.09619, 32.615723, 32.615723, 22.53125, 28.542969, 28.542969, 24.535156,
        30.546875, 37.03418, 5.3427734, 5.3427734, 37.03418, 30.427246, 34.731934, 32.57959, 43.34131,
        30.427246,
    ];
    holds(Encoding::Q4K, &[(0, 0.0371), (2, -0.513)], 7, &expected, 7956.90625);
}

#[test]
fn q5_k_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        41.20166, 37.861816, 42.31494, 36.748535, 38.975098, 22.838379, 19.053223, 66.367676, 43.65674,
        9.590332, 58.08545, 44.35498, 71.81592, 30.624512, 41.62256, 56.726074, 66.3374, 25.145996, 63.59131,
        31.057129, 32.09619, 36.771973, 36.771973, 44.57422, 22.53125, 26.539062, 26.539062, 36.558594,
        73.25293, 41.561523, 5.3427734, 73.25293, 41.188965, 49.79834, 51.950684, 49.79834, 41.188965,
    ];
    holds(Encoding::Q5K, &[(0, 0.0371), (2, -0.513)], 7, &expected, 10586.03125);
}

#[test]
fn q6_k_gives_the_numbers_of_the_reference() {
    #[rustfmt::skip]
    let expected = [
        -53.103516, 21.634766, 5.9003906, 83.9043, 101.56836, 16.365234, 16.365234, 2.3378906, 7.533203,
        -7.533203, -25.457031, 43.640625, 8.572266, -40.003906, -84.42383, 60.785156, -104.68555, 16.884766,
        50.654297, -54.291016, -65.7207, 12.728516, 12.728516, 2.3378906, 7.533203, -7.533203, -20.001953,
        20.001953, 17.664062, -22.080078, -23.601562, 17.701172, -30.058594, 26.71875, -33.398438, 102.86719,
        -22.042969,
    ];
    holds(Encoding::Q6K, &[(208, 0.0371)], 7, &expected, -693.203125);
}
