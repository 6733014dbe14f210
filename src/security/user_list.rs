//! [`UserList`]: those who may connect under PLAIN.

use super::authenticator::decided;
use super::members::Members;
use super::{Authenticator, Candidate, Credentials, Decision, Password, Principal, Refusal};

/// Names and passwords, for PLAIN. It can be changed at any time.
///
/// PLAIN sends both in the clear: it is for networks on which nobody listens.
///
/// ```
/// use std::sync::Arc;
/// use jackstay::security::{Password, UserList};
///
/// let users = Arc::new(UserList::new());
/// users.insert("joe", Password::new("secret")?);
/// // Give a clone of the Arc to the sockets; then, at any time:
/// assert!(users.remove("joe")); // and joe's connections end
/// # Ok::<(), jackstay::security::PasswordTooLong>(())
/// ```
#[derive(Debug, Default)]
#[doc(alias = "ZMQ_PLAIN_SERVER")]
pub struct UserList(Members<String, Password>);

impl UserList {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `user` in with this password; the user id is the name.
    ///
    /// If there is such a user already, the new password takes the place of the old one, and the user's connections end.
    pub fn insert(&self, user: impl Into<String>, password: Password) {
        let user = user.into();
        let principal = Principal::new(&*user);
        self.0.insert(user, password, principal);
    }

    /// As [`insert`](Self::insert), for a principal with more to it than a name.
    pub fn insert_as(&self, user: impl Into<String>, password: Password, principal: Principal) {
        self.0.insert(user.into(), password, principal);
    }

    /// Shuts `user` out, and ends its connections. `false` if there is no such user.
    pub fn remove(&self, user: &str) -> bool {
        self.0.remove(user)
    }
}

impl Authenticator for UserList {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        let Credentials::Plain { user, password } = &peer.credentials else {
            return decided(Err(Refusal::denied("no name and password were shown")));
        };
        let principal = self.0.find(user.as_str(), |found| {
            // P5: for a name that is unknown, too, a comparison is made.
            let (expected, principal) = found.unzip();
            let matches = expected.unwrap_or(password) == password;
            principal.filter(|_| matches).cloned()
        });
        decided(principal.ok_or_else(|| {
            Refusal::denied(format!("{user:?} is no user, or has another password"))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::PeerAddress;

    fn peer(user: &str, password: &str) -> Candidate {
        let credentials = Credentials::Plain {
            user: user.into(),
            password: Password::new(password).unwrap(),
        };
        Candidate::new(PeerAddress::Adopted, credentials)
    }

    fn users() -> UserList {
        let users = UserList::new();
        for (user, password) in [("joe", "secret"), ("ann", "")] {
            users.insert(user, Password::new(password).unwrap());
        }
        users
    }

    #[tokio::test]
    async fn p5_only_the_right_password_lets_a_user_in() {
        let users = users();
        let joe = users.authenticate(&peer("joe", "secret")).await.unwrap();
        assert_eq!(joe.user_id(), "joe");
        assert!(users.authenticate(&peer("ann", "")).await.is_ok());
        for (user, password) in [
            ("joe", ""),
            ("joe", "Secret"),
            ("ann", "secret"),
            ("eve", "secret"),
            ("eve", ""),
            ("", ""),
        ] {
            let refusal = users.authenticate(&peer(user, password)).await.unwrap_err();
            assert_eq!(refusal.status.code(), 400, "{user} {password}");
            assert!(!refusal.to_string().contains("ecret"), "{refusal}");
        }
    }

    #[tokio::test]
    async fn without_a_name_nobody_gets_in() {
        let nobody = Candidate::new(PeerAddress::Adopted, Credentials::Null);
        assert!(users().authenticate(&nobody).await.is_err());
    }

    #[tokio::test]
    async fn a_user_who_is_removed_or_gets_a_new_password_is_shut_out() {
        let users = users();
        let joe = users.authenticate(&peer("joe", "secret")).await.unwrap();
        users.insert("joe", Password::new("new").unwrap());
        assert!(joe.is_revoked());
        assert!(users.authenticate(&peer("joe", "secret")).await.is_err());

        let joe = users.authenticate(&peer("joe", "new")).await.unwrap();
        assert!(!joe.is_revoked());
        assert!(users.remove("joe"));
        assert!(joe.is_revoked());
        assert!(users.authenticate(&peer("joe", "new")).await.is_err());
        assert!(!users.remove("joe"));
    }

    #[tokio::test]
    async fn a_principal_can_have_another_name_than_its_user() {
        let users = UserList::new();
        let password = Password::new("secret").unwrap();
        users.insert_as("joe", password, Principal::new("Joe").with("room", "7"));
        let joe = users.authenticate(&peer("joe", "secret")).await.unwrap();
        assert_eq!(
            (joe.user_id(), joe.property("room")),
            ("Joe", Some(&b"7"[..]))
        );
    }
}
