//! The calls of `jackstay::security` that wait.

use jackstay::PeerAddress;
use jackstay::security::zap::{Handler, ZapAuthenticator};
use jackstay::security::{
    Authenticator, Candidate, Credentials, Grant, Password, Principal, UserList,
};

use crate::dropped_after;
use crate::support::within;

#[tokio::test]
async fn a_wait_for_a_revocation_that_is_dropped_changes_nothing() {
    let grant = Grant::new();
    let joe = Principal::new("joe").under(&Grant::new()).under(&grant);
    // Nothing wakes it for a second poll.
    for n in 0..2 {
        assert_eq!(dropped_after(n, joe.revoked()).await, None);
    }
    let (mut first, mut second) = (Box::pin(joe.revoked()), Box::pin(joe.revoked()));
    assert_eq!(dropped_after(1, &mut first).await, None);
    assert_eq!(dropped_after(1, &mut second).await, None);
    drop(first);
    grant.revoke();
    within(second).await;
}

/// One test: a process has one place for a handler.
#[tokio::test]
async fn a_zap_handler_and_who_asks_it_can_be_dropped_at_any_await() {
    let users = || {
        let users = UserList::new();
        users.insert("joe", Password::new("secret").unwrap());
        users
    };
    let joe = Candidate::new(
        PeerAddress::Adopted,
        Credentials::Plain {
            user: "joe".into(),
            password: Password::new("secret").unwrap(),
        },
    );
    for n in 0..2 {
        // Bound at its first poll, or not at all.
        let handler = match dropped_after(n, Handler::bind(users())).await {
            Some(handler) => handler.unwrap(),
            None => within(Handler::bind(users())).await.unwrap(),
        };
        // Dropped, it gives its place up for the next.
        assert!(dropped_after(n, handler.run()).await.is_none());
    }
    let handler = within(Handler::bind(users())).await.unwrap();
    let serving = tokio::spawn(handler.run());
    let zap = ZapAuthenticator::default();
    let mut decided = 0;
    for n in 0..200 {
        if let Some(decision) = within(dropped_after(n % 5, zap.authenticate(&joe))).await {
            assert_eq!(decision.unwrap().user_id(), "joe");
            decided += 1;
        }
    }
    assert!(decided < 200, "nothing was dropped");
    assert_eq!(
        within(zap.authenticate(&joe)).await.unwrap().user_id(),
        "joe"
    );
    serving.abort();
    assert!(within(serving).await.unwrap_err().is_cancelled());
}

#[cfg(feature = "curve")]
#[tokio::test]
async fn a_key_directory_that_is_no_longer_followed_can_be_followed_again() {
    use std::time::Duration;

    use jackstay::security::{KeyDirectory, KeyPair, SecretCertificate};

    let name = format!("jackstay-cancellation-keys-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    let certificate = SecretCertificate::new(KeyPair::generate().unwrap());
    certificate.certificate().write(path.join("joe")).unwrap();
    let keys = KeyDirectory::open(&path).unwrap();
    let key = *certificate.certificate().key();
    let joe = Candidate::new(PeerAddress::Adopted, Credentials::Curve { key });
    let joe = within(keys.authenticate(&joe)).await.unwrap();
    let often = Duration::from_millis(1);
    for n in 0..5 {
        assert!(within(dropped_after(n, keys.follow(often))).await.is_none());
    }
    assert!(!joe.is_revoked());
    std::fs::remove_file(path.join("joe")).unwrap();
    within(async {
        tokio::select! {
            () = keys.follow(often) => {}
            () = joe.revoked() => {}
        }
    })
    .await;
    assert!(joe.is_revoked());
    std::fs::remove_dir_all(&path).unwrap();
}
