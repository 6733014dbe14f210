//! Z85 (RFC 32): four octets as five characters that need no escape.
//!
//! Written here because it decodes into memory that the caller will overwrite: a secret key must leave no copy behind.

/// The text of `octets`, a multiple of four.
pub(super) fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() / 4 * 5);
    for group in octets.as_chunks::<4>().0 {
        let value = u32::from_be_bytes(*group);
        for weight in WEIGHTS {
            let digit = value / weight % 85;
            text.extend(usize::try_from(digit).ok().map(|at| char::from(DIGITS[at])));
        }
    }
    text
}

/// Fills `octets` with what `text` means; `text` has five characters for each four octets.
///
/// The error is where the first group begins that is not Z85.
pub(super) fn decode_into(text: &[u8], octets: &mut [u8]) -> Result<(), usize> {
    let groups = text.as_chunks::<5>().0.iter();
    for (at, (group, octets)) in groups.zip(octets.as_chunks_mut::<4>().0).enumerate() {
        *octets = decode_group(group).ok_or(at * 5)?.to_be_bytes();
    }
    Ok(())
}

fn decode_group(group: &[u8; 5]) -> Option<u32> {
    group.iter().try_fold(0u32, |value, character| {
        let digit = VALUES[usize::from(*character)]?;
        value.checked_mul(85)?.checked_add(u32::from(digit))
    })
}

const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

const WEIGHTS: [u32; 5] = [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1];

/// The value of each character, for those that have one.
const VALUES: [Option<u8>; 256] = {
    let mut values = [None; 256];
    let mut value = 0;
    while value < DIGITS.len() as u8 {
        values[DIGITS[value as usize] as usize] = Some(value);
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Vec<u8>, usize> {
        let mut octets = vec![0; text.len() / 5 * 4];
        decode_into(text.as_bytes(), &mut octets).map(|()| octets)
    }

    #[test]
    fn the_example_of_the_rfc() {
        let octets = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b];
        assert_eq!(encode(&octets), "HelloWorld");
        assert_eq!(decode("HelloWorld"), Ok(octets.to_vec()));
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for value in (0..=u32::MAX).step_by(65_521).chain([u32::MAX]) {
            let octets = value.to_be_bytes();
            assert_eq!(decode(&encode(&octets)), Ok(octets.to_vec()));
        }
    }

    #[test]
    fn a_group_of_more_than_32_bits_or_of_other_characters_is_no_z85() {
        assert_eq!(decode("%nSc0"), Ok(vec![0xff; 4]));
        assert_eq!(decode("%nSc1"), Err(0));
        assert_eq!(decode("00000#####"), Err(5));
        for character in 0..=u8::MAX {
            let group = [b'0', b'0', b'0', b'0', character];
            let expected = DIGITS.iter().position(|digit| *digit == character);
            let value = decode_group(&group).map(|value| usize::try_from(value).unwrap());
            assert_eq!(value, expected, "{character:#x}");
        }
    }
}
