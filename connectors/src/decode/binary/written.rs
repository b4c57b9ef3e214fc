//! Whole numbers as Protobuf and Avro write them: by the specifications, for the tests of what reads them.

/// Seven bits a byte, the lowest first.
pub(in crate::decode) fn varint(number: i64) -> Vec<u8> {
    let mut rest = number as u64;
    let mut bytes = Vec::new();
    while rest > 127 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// Zigzag, so that small ones below zero are short too.
pub(in crate::decode) fn long(number: i64) -> Vec<u8> {
    varint((number << 1) ^ (number >> 63))
}
