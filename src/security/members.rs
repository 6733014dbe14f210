//! A table of those who may connect, which can change while they are connected.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use super::{Grant, Principal};

/// Those who may connect, each with what it has to show (`S`).
#[derive(Debug)]
pub(super) struct Members<K, S>(RwLock<HashMap<K, Member<S>>>);

#[derive(Debug)]
struct Member<S> {
    shows: S,
    /// Under `grant`.
    principal: Principal,
    grant: Grant,
}

impl<K: Eq + Hash, S> Members<K, S> {
    /// Lets `principal` in, in the place of whoever was in under this key.
    pub(super) fn insert(&self, key: K, shows: S, principal: Principal) {
        let grant = Grant::new();
        let member = Member {
            shows,
            principal: principal.under(&grant),
            grant,
        };
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = members.insert(key, member);
        drop(members);
        if let Some(replaced) = replaced {
            replaced.grant.revoke();
        }
    }

    /// Shuts a member out. `false` if there is none.
    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let removed = members.remove(key);
        drop(members);
        removed.inspect(|removed| removed.grant.revoke()).is_some()
    }

    /// What `look` makes of the member under `key`, or of there being none.
    pub(super) fn find<Q: Eq + Hash + ?Sized, T>(
        &self,
        key: &Q,
        look: impl FnOnce(Option<(&S, &Principal)>) -> T,
    ) -> T
    where
        K: Borrow<Q>,
    {
        let members = self.0.read().unwrap_or_else(PoisonError::into_inner);
        look(
            members
                .get(key)
                .map(|member| (&member.shows, &member.principal)),
        )
    }
}

impl<K, S> Default for Members<K, S> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}
