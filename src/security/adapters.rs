//! Authenticators made of something else: of nothing at all, of a function, of other authenticators.

use std::fmt;
use std::sync::Arc;

use super::authenticator::decided;
use super::{Authenticator, Candidate, Decision, Permissions, Principal, Refusal};

/// Accepts every client, whatever it shows: any key, any name with any password.
///
/// With CURVE the connection is still encrypted, and the client can still be sure of the server. The user id is the
/// client's public key in Z85 under CURVE, and empty else, since a name that nobody has checked is none.
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "CURVE_ALLOW_ANY")]
pub struct AnyClient;

impl Authenticator for AnyClient {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        decided(Ok(Principal::new(proven_name(peer))))
    }
}

#[cfg(feature = "curve")]
fn proven_name(peer: &Candidate) -> String {
    match &peer.credentials {
        super::Credentials::Curve { key } => key.to_string(),
        super::Credentials::Null | super::Credentials::Plain { .. } => String::new(),
    }
}

#[cfg(not(feature = "curve"))]
fn proven_name(_: &Candidate) -> String {
    String::new()
}

/// An authenticator that asks `decide`.
///
/// ```
/// use jackstay::security::{Credentials, Principal, Refusal, from_fn};
///
/// let authenticator = from_fn(|peer| async move {
///     match peer.credentials {
///         Credentials::Plain { user, .. } if peer.domain == "lab" => Ok(Principal::new(user)),
///         _ => Err(Refusal::denied("not of this laboratory")),
///     }
/// });
/// ```
pub fn from_fn<F, D>(decide: F) -> FromFn<F>
where
    F: Fn(Candidate) -> D + Send + Sync + 'static,
    D: Future<Output = Result<Principal, Refusal>> + Send + 'static,
{
    FromFn(decide)
}

/// See [`from_fn`].
pub struct FromFn<F>(F);

impl<F, D> Authenticator for FromFn<F>
where
    F: Fn(Candidate) -> D + Send + Sync + 'static,
    D: Future<Output = Result<Principal, Refusal>> + Send + 'static,
{
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        Box::pin((self.0)(peer.clone()))
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

/// Accepts whom both accept. See [`Authenticator::and`].
#[derive(Debug, Clone)]
pub struct And<A, B> {
    first: A,
    second: B,
}

impl<A, B> And<A, B> {
    pub(super) fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

impl<A: Authenticator, B: Authenticator> Authenticator for And<A, B> {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        Box::pin(async move {
            let first = self.first.authenticate(peer).await?;
            let second = self.second.authenticate(peer).await?;
            Ok(first.and(&second))
        })
    }
}

/// Accepts whom another accepts, and restricts them. See [`Authenticator::restricted`].
#[derive(Clone)]
pub struct Restricted<A> {
    authenticator: A,
    permissions: Arc<dyn Permissions>,
}

impl<A> Restricted<A> {
    pub(super) fn new(authenticator: A, permissions: impl Permissions) -> Self {
        Self {
            authenticator,
            permissions: Arc::new(permissions),
        }
    }
}

impl<A: Authenticator> Authenticator for Restricted<A> {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        Box::pin(async move {
            let principal = self.authenticator.authenticate(peer).await?;
            Ok(principal.restricted(self.permissions.clone()))
        })
    }
}

impl<A: fmt::Debug> fmt::Debug for Restricted<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restricted")
            .field("authenticator", &self.authenticator)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::security::{Credentials, Grant, SubscriptionPrefixes};
    use crate::transport::PeerAddress;

    fn anybody() -> Candidate {
        Candidate::new(PeerAddress::Adopted, Credentials::Null)
    }

    fn always(principal: Principal) -> impl Authenticator {
        from_fn(move |_| {
            let principal = principal.clone();
            async move { Ok(principal) }
        })
    }

    #[tokio::test]
    async fn any_client_is_accepted_under_no_name_that_it_has_not_proven() {
        let joe = Candidate::new(
            PeerAddress::Adopted,
            Credentials::Plain {
                user: "joe".into(),
                password: super::super::Password::new("").unwrap(),
            },
        );
        for peer in [anybody(), joe] {
            let principal = AnyClient.authenticate(&peer).await.unwrap();
            assert_eq!(principal.user_id(), "");
        }
    }

    #[tokio::test]
    async fn both_must_accept_and_the_second_is_asked_only_about_those_that_the_first_accepts() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = {
            let asked = asked.clone();
            from_fn(move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                async { Ok(Principal::new("second")) }
            })
        };
        let counting = Arc::new(counting);
        let nobody = || from_fn(|_| async { Err(Refusal::denied("nobody")) });

        let refused = nobody()
            .and(counting.clone())
            .authenticate(&anybody())
            .await;
        assert_eq!(refused.unwrap_err(), Refusal::denied("nobody"));
        assert_eq!(asked.load(Ordering::Relaxed), 0);

        let refused = counting
            .clone()
            .and(nobody())
            .authenticate(&anybody())
            .await;
        assert_eq!(refused.unwrap_err(), Refusal::denied("nobody"));
        assert_eq!(asked.load(Ordering::Relaxed), 1);

        let accepted = AnyClient.and(counting).authenticate(&anybody()).await;
        assert_eq!(accepted.unwrap().user_id(), "second");
    }

    #[tokio::test]
    async fn a_principal_of_two_has_the_properties_and_stands_under_the_grants_of_both() {
        let grant = Grant::new();
        let first = always(Principal::new("joe").with("a", "1"));
        let second = always(
            Principal::new("ann")
                .with("A", "2")
                .with("b", "3")
                .under(&grant),
        );
        let joe = first.and(second).authenticate(&anybody()).await.unwrap();
        assert_eq!(joe.user_id(), "joe");
        let properties: Vec<_> = joe.properties().collect();
        assert_eq!(properties, [("a", &b"1"[..]), ("b", b"3")]);
        assert!(!joe.is_revoked());
        grant.revoke();
        assert!(joe.is_revoked());
    }

    #[tokio::test]
    async fn restrictions_reach_the_principal() {
        let restricted = always(Principal::new("joe"))
            .restricted(SubscriptionPrefixes::new().allow("joe", "a."))
            .and(AnyClient)
            .restricted(SubscriptionPrefixes::new().allow_everyone("a.b"));
        let joe = restricted.authenticate(&anybody()).await.unwrap();
        assert!(joe.may_subscribe(b"a.b."));
        assert!(!joe.may_subscribe(b"a."));
    }
}
