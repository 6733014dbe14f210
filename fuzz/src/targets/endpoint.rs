//! Endpoints as texts.

use crate::endpoint::Endpoint;

/// An endpoint prints as what parses to the same endpoint, and is good for something.
pub fn endpoint(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match text.parse::<Endpoint>() {
        Ok(endpoint) => {
            let printed = endpoint.to_string();
            assert_eq!(printed.parse(), Ok(endpoint.clone()), "{printed:?}");
            let (bind, connect) = (endpoint.check_bind(), endpoint.check_connect());
            for error in [&bind, &connect]
                .into_iter()
                .flat_map(|it| it.as_ref().err())
            {
                assert!(error.to_string().contains("://"));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
