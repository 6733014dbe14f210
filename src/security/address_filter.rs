//! [`AddressFilter`]: who may connect, by the address that they come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

use super::authenticator::decided;
use super::{Authenticator, Candidate, Decision, Principal, Refusal};
use crate::transport::PeerAddress;

/// Accepts or refuses by network address alone: what the peer shows of itself is not looked at, under PLAIN not even the
/// password. To have that checked, too, combine it with [`and`](Authenticator::and):
///
/// ```
/// use jackstay::security::{AddressFilter, Authenticator, Password, UserList};
///
/// let users = UserList::new();
/// users.insert("joe", Password::new("secret")?);
/// let authenticator = AddressFilter::allow(["10.0.0.0/8".parse()?, "::1".parse()?]).and(users);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The user id of those that it accepts is empty.
#[derive(Debug, Clone)]
pub struct AddressFilter {
    networks: Vec<Network>,
    /// What befalls those who come from one of the networks; the others fare the other way.
    listed: Verdict,
    /// What befalls those who come over `ipc`.
    ipc: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

impl AddressFilter {
    /// Accepts only those who come from one of these networks. A peer without an address, over `ipc` or a stream that was
    /// adopted, is refused.
    #[must_use]
    pub fn allow(networks: impl IntoIterator<Item = Network>) -> Self {
        Self {
            networks: networks.into_iter().collect(),
            listed: Verdict::Accepted,
            ipc: Verdict::Refused,
        }
    }

    /// Accepts all but those who come from one of these networks.
    #[must_use]
    pub fn deny(networks: impl IntoIterator<Item = Network>) -> Self {
        Self {
            networks: networks.into_iter().collect(),
            listed: Verdict::Refused,
            ipc: Verdict::Accepted,
        }
    }

    /// Accepts those who come over `ipc`, too: what they may reach is up to the file's permissions.
    #[must_use]
    pub fn allow_ipc(self) -> Self {
        Self {
            ipc: Verdict::Accepted,
            ..self
        }
    }

    fn judge(&self, address: &PeerAddress) -> Verdict {
        let listed = match address {
            PeerAddress::Tcp(address) => self
                .networks
                .iter()
                .any(|network| network.contains(address.ip())),
            PeerAddress::Ipc { .. } => return self.ipc,
            PeerAddress::Inproc | PeerAddress::Adopted => false,
        };
        match (listed, self.listed) {
            (true, verdict) => verdict,
            (false, Verdict::Accepted) => Verdict::Refused,
            (false, Verdict::Refused) => Verdict::Accepted,
        }
    }
}

impl Authenticator for AddressFilter {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        decided(match self.judge(&peer.address) {
            Verdict::Accepted => Ok(Principal::new("")),
            Verdict::Refused => Err(Refusal::denied("the peer's address is not allowed")),
        })
    }
}

/// An IP address, or all that begin with the same bits: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    /// How many bits count: at most 32 or 128.
    bits: u8,
}

impl Network {
    /// The addresses whose first `bits` bits are those of `address`.
    ///
    /// # Errors
    /// [`ParseNetworkError::Bits`] if an address has no so many, [`ParseNetworkError::HostBits`] if bits behind those
    /// are set, which would not count.
    pub fn new(address: IpAddr, bits: u8) -> Result<Self, ParseNetworkError> {
        if bits > width(address) {
            return Err(ParseNetworkError::Bits);
        }
        let network = first(address, bits);
        if network != address {
            return Err(ParseNetworkError::HostBits { network, bits });
        }
        // Such addresses are compared as what they are, so that a network of them has to be one of IPv4, too.
        let canonical = address.to_canonical();
        let bits = bits - (width(address) - width(canonical));
        Ok(Self {
            address: canonical,
            bits,
        })
    }

    /// Whether `address` belongs to it. An IPv4 address in the guise of IPv6 is taken for what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && first(address, self.bits) == self.address
    }
}

/// The one address.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            bits: width(address),
        }
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let address = |text: &str| {
            text.parse::<IpAddr>()
                .map_err(|_| ParseNetworkError::Address)
        };
        match text.split_once('/') {
            None => address(text).map(Self::from),
            Some((network, bits)) => {
                let bits = bits.parse().map_err(|_| ParseNetworkError::Bits)?;
                Self::new(address(network)?, bits)
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Why something is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseNetworkError {
    /// What should be an address is none.
    #[error("this is no IP address: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
    Address,
    /// What should be a number of bits is none.
    #[error("behind the '/' stands a number of bits: up to 32 for IPv4, up to 128 for IPv6")]
    Bits,
    /// Bits are set that do not count.
    #[error("bits behind the first {bits} are set: write {network}/{bits}, or the address alone")]
    HostBits {
        /// The address without them.
        network: IpAddr,
        /// How many bits count.
        bits: u8,
    },
}

/// `address` with all but its first `bits` bits cleared.
fn first(address: IpAddr, bits: u8) -> IpAddr {
    let unused = u32::from(width(address).saturating_sub(bits));
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(unused).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(unused).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// The bits of an address of this family.
const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Credentials;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn accepts(filter: &AddressFilter, address: PeerAddress) -> bool {
        filter.judge(&address) == Verdict::Accepted
    }

    fn tcp(ip: &str) -> PeerAddress {
        PeerAddress::Tcp((ip.parse::<IpAddr>().unwrap(), 5555).into())
    }

    const IPC: PeerAddress = PeerAddress::Ipc {
        pid: None,
        uid: None,
    };

    #[test]
    fn a_network_contains_what_begins_with_its_bits() {
        for (text, inside, outside) in [
            (
                "192.0.2.7",
                &["192.0.2.7", "::ffff:192.0.2.7"][..],
                &["192.0.2.6", "::1"][..],
            ),
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255"],
                &["11.0.0.0", "9.255.255.255"],
            ),
            (
                "192.0.2.128/25",
                &["192.0.2.128", "192.0.2.255"],
                &["192.0.2.127"],
            ),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "::1"]),
            (
                "2001:db8::/32",
                &["2001:db8::1"],
                &["2001:db9::", "32.1.13.184"],
            ),
            ("::/0", &["::", "ffff::"], &["0.0.0.0", "::ffff:1.2.3.4"]),
            ("::1", &["::1"], &["::", "::2"]),
            (
                "::ffff:10.0.0.0/104",
                &["10.1.2.3", "::ffff:10.1.2.3"],
                &["11.0.0.0", "::"],
            ),
            ("::ffff:0:0/96", &["1.2.3.4"], &["::1"]),
        ] {
            let network = network(text);
            for (addresses, expected) in [(inside, true), (outside, false)] {
                for address in addresses {
                    let contains = network.contains(address.parse().unwrap());
                    assert_eq!(contains, expected, "{address} in {network}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_network_says_what_to_write() {
        for (text, error) in [
            ("", ParseNetworkError::Address),
            ("localhost", ParseNetworkError::Address),
            ("10.0.0/8", ParseNetworkError::Address),
            ("10.0.0.0/", ParseNetworkError::Bits),
            ("10.0.0.0/33", ParseNetworkError::Bits),
            ("::/129", ParseNetworkError::Bits),
            ("::/-1", ParseNetworkError::Bits),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
        let error = "10.0.0.1/8".parse::<Network>().unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
        let error = "::ffff:0:0/90".parse::<Network>().unwrap_err();
        assert!(matches!(
            error,
            ParseNetworkError::HostBits { bits: 90, .. }
        ));
        for text in ["10.0.0.0/8", "2001:db8::/32", "::1/128"] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn allowing_accepts_the_listed_and_denying_the_others() {
        let listed = || [network("127.0.0.0/8"), network("2001:db8::/32")];
        let (allow, deny) = (
            AddressFilter::allow(listed()),
            AddressFilter::deny(listed()),
        );
        for (address, is_listed) in [
            (tcp("127.1.2.3"), true),
            (tcp("::ffff:127.0.0.1"), true),
            (tcp("2001:db8::1"), true),
            (tcp("128.0.0.1"), false),
            (tcp("::1"), false),
            (PeerAddress::Adopted, false),
            (PeerAddress::Inproc, false),
        ] {
            assert_eq!(accepts(&allow, address), is_listed, "{address:?}");
            assert_eq!(accepts(&deny, address), !is_listed, "{address:?}");
        }
        assert!(!accepts(&allow, IPC) && accepts(&allow.allow_ipc(), IPC));
        assert!(accepts(&deny, IPC));
    }

    #[tokio::test]
    async fn a_refusal_is_a_denial_and_who_is_accepted_has_no_name() {
        let filter = AddressFilter::allow([network("127.0.0.1")]);
        let peer = |ip| Candidate::new(tcp(ip), Credentials::Null);
        let accepted = filter.authenticate(&peer("127.0.0.1")).await.unwrap();
        assert_eq!(accepted.user_id(), "");
        let refusal = filter.authenticate(&peer("127.0.0.2")).await.unwrap_err();
        assert_eq!(refusal.status.code(), 400);
    }
}
