//! The two messages of ZAP.

use std::net::IpAddr;
use std::str;

use bytes::{Bytes, BytesMut};

use crate::identity::Identity;
use crate::message::Message;
#[cfg(feature = "curve")]
use crate::security::PublicKey;
use crate::security::{Candidate, Credentials, Password, Principal, Refusal, RefusalStatus};
use crate::transport::PeerAddress;
use crate::zmtp::{Metadata, put_property, shown};

/// Z1: the request about `peer`.
pub(super) fn request(id: &[u8], peer: &Candidate) -> Message {
    let frame = Bytes::copy_from_slice;
    let address = match peer.address {
        // Z3
        PeerAddress::Tcp(address) => address.ip().to_canonical().to_string(),
        PeerAddress::Ipc { .. } | PeerAddress::Inproc | PeerAddress::Adopted => String::new(),
    };
    let mut frames = vec![
        Bytes::from_static(VERSION),
        frame(id),
        frame(peer.domain.as_bytes()),
        address.into(),
        frame(peer.identity.as_bytes()),
        Bytes::from_static(peer.credentials.mechanism().as_bytes()),
    ];
    match &peer.credentials {
        Credentials::Null => {}
        Credentials::Plain { user, password } => {
            frames.extend([frame(user.as_bytes()), frame(password.as_bytes())]);
        }
        #[cfg(feature = "curve")]
        Credentials::Curve { key } => frames.push(frame(key.as_bytes())),
    }
    frames.into_iter().collect()
}

/// The peer that a request is about; the error is what is wrong with the request.
pub(super) fn read_request(request: &Message) -> Result<Candidate, &'static str> {
    let frames: Vec<&[u8]> = request.iter().collect();
    let [
        version,
        _id,
        domain,
        address,
        identity,
        mechanism,
        shows @ ..,
    ] = frames.as_slice()
    else {
        return Err("a request has at least six frames");
    };
    if *version != VERSION {
        return Err("the version of a request is 1.0");
    }
    let mut peer = Candidate::new(read_address(address), read_credentials(mechanism, shows)?);
    peer.domain = text(domain).ok_or("the domain is a text of at most 255 octets")?;
    peer.identity =
        Identity::try_from(*identity).map_err(|_| "an identity has at most 255 octets")?;
    Ok(peer)
}

/// The id of a request, however wrong the rest is.
pub(super) fn request_id(request: &Message) -> Bytes {
    let id = request.iter().nth(1).unwrap_or_default();
    Bytes::copy_from_slice(id)
}

/// Z1: the reply to the request `id`.
pub(super) fn reply(id: Bytes, outcome: &Result<Principal, Refusal>) -> Message {
    let (status, text, user_id, metadata) = match outcome {
        Ok(principal) => match metadata(principal) {
            Some(metadata) => (ACCEPTED, "OK", principal.user_id(), metadata),
            None => (INTERNAL, "the principal does not fit", "", Bytes::new()),
        },
        Err(refusal) => (
            code(refusal.status),
            up_to_limit(&refusal.reason),
            "",
            Bytes::new(),
        ),
    };
    [
        Bytes::from_static(VERSION),
        id,
        Bytes::from_static(status),
        Bytes::copy_from_slice(text.as_bytes()),
        Bytes::copy_from_slice(user_id.as_bytes()),
        metadata,
    ]
    .into_iter()
    .collect()
}

/// What the reply to the request `id` decides.
pub(super) fn read_reply(reply: &Message, id: &[u8]) -> Result<Principal, Refusal> {
    // Z4
    let malformed = |what: &str| Refusal::internal(format!("the ZAP handler's reply {what}"));
    let frames: Vec<&[u8]> = reply.iter().collect();
    let [version, replied, status, reason, user_id, metadata] = frames.as_slice() else {
        return Err(malformed("has not six frames"));
    };
    if *version != VERSION {
        return Err(malformed("is not of version 1.0"));
    }
    if *replied != id {
        return Err(malformed("is to another request"));
    }
    let reason = text(reason).ok_or_else(|| malformed("gives a reason that is no short text"))?;
    // Z2
    match *status {
        ACCEPTED => {}
        TEMPORARY => return Err(Refusal::temporary(shown(reason.as_bytes()))),
        DENIED => return Err(Refusal::denied(shown(reason.as_bytes()))),
        INTERNAL => return Err(Refusal::internal(shown(reason.as_bytes()))),
        _ => return Err(malformed("has an unknown status")),
    }
    let user_id = text(user_id).ok_or_else(|| malformed("has a user id that is no short text"))?;
    let properties = Metadata::decode(Bytes::copy_from_slice(metadata), MAX_PROPERTIES)
        .map_err(|error| malformed(&format!("has metadata that cannot be read: {error}")))?;
    properties
        .iter()
        .try_fold(Principal::new(user_id), |principal, (name, value)| {
            let name = property_name(name)?;
            Some(principal.with(name, Bytes::copy_from_slice(value)))
        })
        .ok_or_else(|| malformed("has metadata with a name that is none"))
}

/// What is no address of the network is of no use to anybody.
fn read_address(address: &[u8]) -> PeerAddress {
    let ip = str::from_utf8(address).ok().and_then(|it| it.parse().ok());
    ip.map_or(PeerAddress::Adopted, |ip: IpAddr| {
        PeerAddress::Tcp((ip.to_canonical(), 0).into())
    })
}

fn read_credentials(mechanism: &[u8], shows: &[&[u8]]) -> Result<Credentials, &'static str> {
    match (mechanism, shows) {
        (b"NULL", []) => Ok(Credentials::Null),
        (b"PLAIN", [user, password]) => Ok(Credentials::Plain {
            user: text(user).ok_or("a user's name is a text of at most 255 octets")?,
            password: Password::new(password).map_err(|_| "a password has at most 255 octets")?,
        }),
        #[cfg(feature = "curve")]
        (b"CURVE", [key]) => Ok(Credentials::Curve {
            key: PublicKey::try_from(*key).map_err(|_| "this is no public key")?,
        }),
        (b"NULL" | b"PLAIN" | b"CURVE", _) => Err("these are no credentials of this mechanism"),
        _ => Err("the mechanism is unknown"),
    }
}

/// The properties as they travel; `None` if they or the user id cannot.
fn metadata(principal: &Principal) -> Option<Bytes> {
    let mut metadata = BytesMut::new();
    let properties = principal.properties();
    if principal.user_id().len() > MAX_TEXT || properties.len() > MAX_PROPERTIES {
        return None;
    }
    for (name, value) in properties {
        property_name(name.as_bytes())?;
        u32::try_from(value.len()).ok()?;
        put_property(&mut metadata, name.as_bytes(), value);
    }
    Some(metadata.freeze())
}

fn property_name(name: &[u8]) -> Option<&str> {
    let name = str::from_utf8(name).ok()?;
    let is_name = (1..=MAX_TEXT).contains(&name.len())
        && name
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-_.+".contains(&octet));
    is_name.then_some(name)
}

fn text(octets: &[u8]) -> Option<String> {
    let text = str::from_utf8(octets).ok()?;
    (text.len() <= MAX_TEXT).then(|| text.to_owned())
}

fn up_to_limit(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

const fn code(status: RefusalStatus) -> &'static [u8] {
    match status {
        RefusalStatus::Temporary => TEMPORARY,
        RefusalStatus::Denied => DENIED,
        RefusalStatus::Internal => INTERNAL,
    }
}

const VERSION: &[u8] = b"1.0";

const ACCEPTED: &[u8] = b"200";
const TEMPORARY: &[u8] = b"300";
const DENIED: &[u8] = b"400";
const INTERNAL: &[u8] = b"500";

/// The octets of a string.
const MAX_TEXT: usize = 255;

/// As many as a peer may announce.
const MAX_PROPERTIES: usize = 32;

#[cfg(test)]
mod tests;
