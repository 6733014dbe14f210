//! [`KeyList`]: those who may connect under CURVE.

use super::authenticator::decided;
use super::members::Members;
use super::{Authenticator, Candidate, Credentials, Decision, Principal, PublicKey, Refusal};

/// Public keys of those who may connect, for CURVE. It can be changed at any time.
///
/// ```
/// use std::sync::Arc;
/// use jackstay::security::{KeyList, KeyPair};
///
/// let joe = KeyPair::generate()?;
/// let keys = Arc::new(KeyList::from_iter([*joe.public_key()]));
/// // Give a clone of the Arc to the sockets; then, at any time:
/// assert!(keys.remove(joe.public_key())); // and joe's connections end
/// # Ok::<(), jackstay::security::KeyError>(())
/// ```
#[derive(Debug, Default)]
pub struct KeyList(Members<PublicKey, ()>);

impl KeyList {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the owner of `key` in; the user id is the key in Z85.
    ///
    /// If the key is there already, its connections end and may be made anew.
    pub fn insert(&self, key: PublicKey) {
        self.insert_as(key, Principal::new(key.to_string()));
    }

    /// As [`insert`](Self::insert), for a principal of another name, or with more to it.
    pub fn insert_as(&self, key: PublicKey, principal: Principal) {
        self.0.insert(key, (), principal);
    }

    /// Shuts the owner of `key` out, and ends its connections. `false` if the key is not there.
    pub fn remove(&self, key: &PublicKey) -> bool {
        self.0.remove(key)
    }
}

impl FromIterator<PublicKey> for KeyList {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        let list = Self::new();
        keys.into_iter().for_each(|key| list.insert(key));
        list
    }
}

impl Authenticator for KeyList {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        let Credentials::Curve { key } = &peer.credentials else {
            return decided(Err(Refusal::denied("no key was shown")));
        };
        let principal = self.0.find(key, |found| found.map(|(_, it)| it.clone()));
        decided(principal.ok_or_else(|| Refusal::denied(format!("the key {key} is not listed"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::KeyPair;
    use crate::transport::PeerAddress;

    fn key() -> PublicKey {
        *KeyPair::generate().unwrap().public_key()
    }

    fn peer(key: PublicKey) -> Candidate {
        Candidate::new(PeerAddress::Adopted, Credentials::Curve { key })
    }

    #[tokio::test]
    async fn only_keys_of_the_list_get_in() {
        let [known, unknown] = [key(), key()];
        let keys = KeyList::from_iter([known]);
        let principal = keys.authenticate(&peer(known)).await.unwrap();
        assert_eq!(principal.user_id(), known.to_string());
        let refusal = keys.authenticate(&peer(unknown)).await.unwrap_err();
        assert!(refusal.reason.contains(&unknown.to_string()), "{refusal}");
        let nobody = Candidate::new(PeerAddress::Adopted, Credentials::Null);
        assert!(keys.authenticate(&nobody).await.is_err());
        assert!(KeyList::new().authenticate(&peer(known)).await.is_err());
    }

    #[tokio::test]
    async fn a_key_that_is_removed_is_shut_out_and_no_other() {
        let [one, other] = [key(), key()];
        let keys = KeyList::from_iter([one, other]);
        let first = keys.authenticate(&peer(one)).await.unwrap();
        let second = keys.authenticate(&peer(other)).await.unwrap();
        assert!(keys.remove(&one));
        assert!(first.is_revoked() && !second.is_revoked());
        assert!(keys.authenticate(&peer(one)).await.is_err());
        assert!(!keys.remove(&one));
    }

    #[tokio::test]
    async fn a_key_can_stand_for_a_named_principal() {
        let key = key();
        let keys = KeyList::new();
        keys.insert_as(key, Principal::new("joe").with("room", "7"));
        let joe = keys.authenticate(&peer(key)).await.unwrap();
        assert_eq!(
            (joe.user_id(), joe.property("room")),
            ("joe", Some(&b"7"[..]))
        );
    }
}
