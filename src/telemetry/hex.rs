//! Ids in hexadecimal digits, without the formatting machinery: several come with each request.

/// `bytes` as lower-case digits, which are written to `to`.
///
/// # Panics
/// If that is not twice as long.
pub fn digits<'a>(bytes: &[u8], to: &'a mut [u8]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    assert_eq!(to.len(), 2 * bytes.len());
    for (pair, byte) in to.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    str::from_utf8(to).expect("digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_as_the_library_writes_them() {
        let id = opentelemetry::TraceId::from_hex("00f067aa0ba902b7a3ce929d0e0e4736").unwrap();
        assert_eq!(digits(&id.to_bytes(), &mut [0; 32]), id.to_string());
    }
}
