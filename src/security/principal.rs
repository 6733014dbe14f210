//! [`Principal`]: who a peer is, once an authenticator has said so.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::identity::Identity;

/// Who a connected peer is: a user id, and what else the authenticator knows of it.
///
/// Cheap to clone; all clones are the same principal.
///
/// ```
/// use jackstay::security::{Grant, Principal};
///
/// let grant = Grant::new();
/// let joe = Principal::new("joe").with("office", "Ghent").under(&grant);
/// assert_eq!(joe.user_id(), "joe");
/// assert_eq!(joe.property("Office"), Some(&b"Ghent"[..]));
///
/// grant.revoke();
/// assert!(joe.is_revoked());
/// ```
#[derive(Clone)]
pub struct Principal(Arc<Facts>);

#[derive(Clone, Default)]
struct Facts {
    user_id: String,
    metadata: Vec<(String, Bytes)>,
    grants: Vec<Grant>,
    permissions: Vec<Arc<dyn Permissions>>,
}

impl Principal {
    /// A principal of this name, who may do everything.
    #[must_use]
    pub fn new(user_id: impl Into<String>) -> Self {
        Self(Arc::new(Facts {
            user_id: user_id.into(),
            ..Facts::default()
        }))
    }

    /// Adds a property, in the place of one of the same name.
    #[must_use]
    pub fn with(self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        let name = name.into();
        self.change(|facts| {
            facts
                .metadata
                .retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
            facts.metadata.push((name, value.into()));
        })
    }

    /// Puts it under `grant`: when that is revoked, so is this principal. Under several, any of them will do.
    #[must_use]
    pub fn under(self, grant: &Grant) -> Self {
        self.change(|facts| facts.grants.push(grant.clone()))
    }

    /// Restricts what it may do. Of several restrictions, all apply.
    #[must_use]
    pub fn restricted(self, permissions: Arc<dyn Permissions>) -> Self {
        self.change(|facts| facts.permissions.push(permissions))
    }

    /// The name by which the application knows it. Empty for somebody unknown, such as any client at all.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.0.user_id
    }

    /// The value of a property. Names compare without regard to case.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        self.properties()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All properties, in the order in which they were added.
    pub fn properties(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.0
            .metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// Whether it has been shut out since it was accepted.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.grants.iter().any(Grant::is_revoked)
    }

    /// Waits until it is shut out; for ever if it is under no grant.
    ///
    /// # Cancel safety
    /// It can be dropped and called again at any time.
    pub async fn revoked(&self) {
        let mut grants: Vec<_> = self
            .0
            .grants
            .iter()
            .map(|grant| Box::pin(grant.0.cancelled()))
            .collect();
        poll_fn(|cx| {
            let any = grants
                .iter_mut()
                .any(|cancelled| pin!(cancelled).poll(cx).is_ready());
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether it may subscribe to all topics that begin with `prefix`.
    #[must_use]
    pub fn may_subscribe(&self, prefix: &[u8]) -> bool {
        self.allows(|permissions| permissions.may_subscribe(self, prefix))
    }

    /// Whether it may be known under `identity`.
    #[must_use]
    pub fn may_use_identity(&self, identity: &Identity) -> bool {
        self.allows(|permissions| permissions.may_use_identity(self, identity))
    }

    /// Whether it may send messages.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.allows(|permissions| permissions.may_send(self))
    }

    /// Both at once: the name and the properties of `self`, then the properties that only `other` has; the grants and
    /// the restrictions of both.
    pub(super) fn and(self, other: &Self) -> Self {
        self.change(|facts| {
            if facts.user_id.is_empty() {
                facts.user_id.clone_from(&other.0.user_id);
            }
            for (name, value) in &other.0.metadata {
                if !facts
                    .metadata
                    .iter()
                    .any(|(own, _)| own.eq_ignore_ascii_case(name))
                {
                    facts.metadata.push((name.clone(), value.clone()));
                }
            }
            facts.grants.extend_from_slice(&other.0.grants);
            facts.permissions.extend_from_slice(&other.0.permissions);
        })
    }

    fn allows(&self, ask: impl FnMut(&Arc<dyn Permissions>) -> bool) -> bool {
        self.0.permissions.iter().all(ask)
    }

    fn change(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("user_id", &self.user_id())
            .field("revoked", &self.is_revoked())
            .finish_non_exhaustive()
    }
}

/// What a [`Principal`] may do on a socket. What an implementation does not speak of is allowed.
///
/// It is asked within the task of the connection, which waits for it: it should answer from memory. When it is asked and
/// what follows is told in the [module's guide](super#what-a-principal-may-do).
///
/// ```
/// use jackstay::Identity;
/// use jackstay::security::{Permissions, Principal};
///
/// /// Nobody but the operator sends, and everybody goes by their own name.
/// struct House;
///
/// impl Permissions for House {
///     fn may_use_identity(&self, who: &Principal, identity: &Identity) -> bool {
///         identity.as_bytes() == who.user_id().as_bytes()
///     }
///
///     fn may_send(&self, who: &Principal) -> bool {
///         who.user_id() == "operator"
///     }
/// }
/// ```
pub trait Permissions: Send + Sync + 'static {
    /// Whether `who` may subscribe to all topics that begin with `prefix`; the empty prefix is every topic. Asked about
    /// the whole prefix of each subscription: one that reaches beyond what is allowed has no effect at all.
    fn may_subscribe(&self, who: &Principal, prefix: &[u8]) -> bool {
        let _ = (who, prefix);
        true
    }

    /// Whether `who` may be known under `identity`. Not asked about a peer that announces none.
    fn may_use_identity(&self, who: &Principal, identity: &Identity) -> bool {
        let _ = (who, identity);
        true
    }

    /// Whether `who` may send messages to the socket. Subscriptions are no messages. Asked once for each connection.
    fn may_send(&self, who: &Principal) -> bool {
        let _ = who;
        true
    }
}

impl<P: Permissions + ?Sized> Permissions for Arc<P> {
    fn may_subscribe(&self, who: &Principal, prefix: &[u8]) -> bool {
        (**self).may_subscribe(who, prefix)
    }

    fn may_use_identity(&self, who: &Principal, identity: &Identity) -> bool {
        (**self).may_use_identity(who, identity)
    }

    fn may_send(&self, who: &Principal) -> bool {
        (**self).may_send(who)
    }
}

/// The hold of an authenticator on those whom it has accepted: revoked, it shuts them out, and their connections end.
///
/// Cheap to clone; all clones are the same grant.
#[derive(Debug, Clone, Default)]
pub struct Grant(CancellationToken);

impl Grant {
    /// A grant that is in force.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes it back, for ever.
    pub fn revoke(&self) {
        self.0.cancel();
    }

    /// Whether it was taken back.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        pin!(future)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn a_property_replaces_one_of_the_same_name_in_any_case() {
        let joe = Principal::new("joe").with("Office", "Ghent").with("x", "1");
        let moved = joe.clone().with("office", "Bruges");
        assert_eq!(moved.property("OFFICE"), Some(&b"Bruges"[..]));
        assert_eq!(joe.property("Office"), Some(&b"Ghent"[..]));
        let names: Vec<_> = moved.properties().map(|(name, _)| name).collect();
        assert_eq!(names, ["x", "office"]);
    }

    #[test]
    fn revoking_any_of_its_grants_revokes_a_principal_and_all_its_clones() {
        let grants = [Grant::new(), Grant::new()];
        let joe = Principal::new("joe").under(&grants[0]).under(&grants[1]);
        let clone = joe.clone();
        let free = Principal::new("ann");
        assert!(!joe.is_revoked() && !is_ready(joe.revoked()));
        grants[1].revoke();
        assert!(joe.is_revoked() && clone.is_revoked());
        assert!(is_ready(joe.revoked()) && is_ready(clone.revoked()));
        assert!(!free.is_revoked() && !is_ready(free.revoked()));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_revocation_is_woken() {
        let grant = Grant::new();
        let joe = Principal::new("joe").under(&Grant::new()).under(&grant);
        let waiting = tokio::spawn(async move { joe.revoked().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        grant.revoke();
        let woken = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        woken.expect("nobody is woken").unwrap();
    }

    #[test]
    fn what_no_permission_speaks_of_is_allowed_and_of_several_all_apply() {
        struct NoTopics;
        impl Permissions for NoTopics {
            fn may_subscribe(&self, _who: &Principal, _prefix: &[u8]) -> bool {
                false
            }
        }
        struct Mute(&'static str);
        impl Permissions for Mute {
            fn may_send(&self, who: &Principal) -> bool {
                who.user_id() != self.0
            }

            fn may_use_identity(&self, who: &Principal, identity: &Identity) -> bool {
                identity.as_bytes() == who.user_id().as_bytes()
            }
        }
        let [joe, ann] = ["joe", "ann"].map(|name| {
            Principal::new(name)
                .restricted(Arc::new(NoTopics))
                // Also through one more pointer.
                .restricted(Arc::new(Arc::new(Mute("joe"))))
        });
        assert!(!joe.may_subscribe(b"") && !ann.may_subscribe(b""));
        assert!(!joe.may_send() && ann.may_send());
        let identity = Identity::try_from("joe").unwrap();
        assert!(joe.may_use_identity(&identity) && !ann.may_use_identity(&identity));

        let free = Principal::new("eve");
        assert!(free.may_subscribe(b"") && free.may_send() && free.may_use_identity(&identity));
    }
}
