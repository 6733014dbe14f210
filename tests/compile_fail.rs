//! What must not compile, and that the error says why. Run with `TRYBUILD=overwrite` to renew the expected errors.

#[test]
fn what_a_socket_type_cannot_do_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
