//! From text to address, and what can be wrong on the way.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Address, Host, IpcAddress, ParseEndpointError, TcpAddress};

/// What is wrong, waiting for the text in which it was found.
pub(super) type Fault = fn(String) -> ParseEndpointError;

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(ParseEndpointError::MissingScheme as Fault)?;
        match scheme {
            "tcp" => TcpAddress::parse(rest).map(Self::Tcp),
            "ipc" => IpcAddress::parse(rest).map(Self::Ipc),
            "inproc" if rest.is_empty() || rest.len() > MAX_NAME => {
                Err(ParseEndpointError::InvalidName)
            }
            "inproc" => Ok(Self::Inproc(rest.into())),
            _ => Err(ParseEndpointError::UnknownScheme),
        }
    }
}

impl TcpAddress {
    fn parse(text: &str) -> Result<Self, Fault> {
        let (source, target) = match text.split_once(';') {
            Some((source, target)) => (Some(parse_source(source)?), target),
            None => (None, text),
        };
        let (host, port) = if let Some(bracketed) = target.strip_prefix('[') {
            let (host, port) = bracketed
                .split_once(']')
                .ok_or(ParseEndpointError::InvalidIpv6 as Fault)?;
            let port = port.strip_prefix(':').or(port.is_empty().then_some(port));
            (
                Host::parse_ipv6(host)?,
                port.ok_or(ParseEndpointError::InvalidIpv6 as Fault)?,
            )
        } else {
            let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
            (Host::parse(host)?, port)
        };
        let port = match port {
            "" => return Err(ParseEndpointError::MissingPort),
            "*" => 0,
            // `parse` alone would let a sign pass.
            _ if port.bytes().all(|octet| octet.is_ascii_digit()) => port
                .parse()
                .map_err(|_| ParseEndpointError::InvalidPort as Fault)?,
            _ => return Err(ParseEndpointError::InvalidPort),
        };
        Ok(Self { source, host, port })
    }
}

fn parse_source(text: &str) -> Result<SocketAddr, Fault> {
    match text.strip_suffix(":*") {
        Some(address) => format!("{address}:0").parse(),
        None => text.parse(),
    }
    .map_err(|_| ParseEndpointError::InvalidSource as Fault)
}

impl Host {
    fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            Err(ParseEndpointError::EmptyHost)
        } else if text == "*" {
            Ok(Self::Any)
        } else if let Ok(ip) = text.parse::<Ipv4Addr>() {
            Ok(Self::Ip(ip.into()))
        } else if text.contains(':') {
            Err(ParseEndpointError::UnbracketedIpv6)
        } else if text.bytes().all(is_name_octet) {
            Ok(Self::Name(text.into()))
        } else {
            Err(ParseEndpointError::InvalidHost)
        }
    }

    /// Parses what was in brackets.
    fn parse_ipv6(text: &str) -> Result<Self, Fault> {
        let (address, zone) = text.split_once('%').unzip();
        let ip = address
            .unwrap_or(text)
            .parse::<Ipv6Addr>()
            .map_err(|_| ParseEndpointError::InvalidIpv6 as Fault)?;
        match zone {
            None => Ok(Self::Ip(ip.into())),
            Some(zone) if !zone.is_empty() && zone.bytes().all(is_name_octet) => {
                Ok(Self::Name(text.into()))
            }
            Some(_) => Err(ParseEndpointError::InvalidIpv6),
        }
    }
}

fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.')
}

impl IpcAddress {
    fn parse(text: &str) -> Result<Self, Fault> {
        let name = text.strip_prefix('@');
        let stored = name.unwrap_or(text);
        if stored.is_empty() {
            Err(ParseEndpointError::EmptyPath)
        } else if stored.contains('\0') {
            Err(ParseEndpointError::NulInPath)
        } else if stored.len() > MAX_PATH {
            Err(ParseEndpointError::PathTooLong)
        } else if let Some(name) = name {
            Ok(Self::Abstract(name.as_bytes().into()))
        } else if text == "*" {
            Ok(Self::Any)
        } else {
            Ok(Self::Path(text.into()))
        }
    }
}

/// What fits in `sun_path` beside one NUL, which ends a path and begins an abstract name.
pub(super) const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};
pub(super) const MAX_NAME: usize = 255;
