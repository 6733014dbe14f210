//! [`SubscriptionPrefixes`]: who may subscribe to what.

use std::collections::HashMap;

use super::{Permissions, Principal};

/// What each user may subscribe to: topics that begin with one of the user's prefixes, or with one of everybody's. A
/// user without any may subscribe to nothing.
///
/// ```
/// use jackstay::security::{AnyClient, Authenticator, SubscriptionPrefixes};
///
/// let prefixes = SubscriptionPrefixes::new()
///     .allow("joe", "weather.")
///     .allow("ann", "") // everything
///     .allow_everyone("news.");
/// let authenticator = AnyClient.restricted(prefixes);
/// ```
#[derive(Debug, Clone, Default)]
pub struct SubscriptionPrefixes {
    /// By user id.
    users: HashMap<String, Vec<Box<[u8]>>>,
    everyone: Vec<Box<[u8]>>,
}

impl SubscriptionPrefixes {
    /// Nobody may subscribe to anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the principals of this user id subscribe to all that begins with `prefix`.
    #[must_use]
    pub fn allow(mut self, user_id: impl Into<String>, prefix: impl AsRef<[u8]>) -> Self {
        let prefixes = self.users.entry(user_id.into()).or_default();
        prefixes.push(prefix.as_ref().into());
        self
    }

    /// Lets everybody subscribe to all that begins with `prefix`.
    #[must_use]
    pub fn allow_everyone(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.everyone.push(prefix.as_ref().into());
        self
    }
}

impl Permissions for SubscriptionPrefixes {
    fn may_subscribe(&self, who: &Principal, prefix: &[u8]) -> bool {
        let own = self.users.get(who.user_id()).into_iter().flatten();
        own.chain(&self.everyone)
            .any(|allowed| prefix.starts_with(allowed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::Identity;

    #[test]
    fn a_subscription_must_lie_within_a_prefix_of_the_user_or_of_everybody() {
        let prefixes = SubscriptionPrefixes::new()
            .allow("joe", "weather.")
            .allow("joe", [0xff])
            .allow("ann", "")
            .allow_everyone("news.");
        let may = |user: &str, prefix: &[u8]| prefixes.may_subscribe(&Principal::new(user), prefix);
        for (user, allowed, denied) in [
            (
                "joe",
                &[&b"weather."[..], b"weather.ghent", b"\xff\0", b"news.x"][..],
                &[&b""[..], b"weather", b"w", b"news", b"x"][..],
            ),
            ("ann", &[b"", b"weather", b"\0"], &[]),
            ("eve", &[b"news."], &[b"", b"weather."]),
            ("", &[b"news."], &[b""]),
        ] {
            assert!(allowed.iter().all(|prefix| may(user, prefix)), "{user}");
            assert!(!denied.iter().any(|prefix| may(user, prefix)), "{user}");
        }
    }

    #[test]
    fn nothing_else_is_restricted() {
        let eve = Principal::new("eve").restricted(Arc::new(SubscriptionPrefixes::new()));
        assert!(!eve.may_subscribe(b"a"));
        assert!(eve.may_send() && eve.may_use_identity(&Identity::default()));
    }
}
