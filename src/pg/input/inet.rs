//! Input of inet and cidr, stored as their canonical text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{PgError, PgResult};
use crate::sqlstate;

/// An address with its network length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub bits: u8,
}

impl Network {
    fn bits_max(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// `10.0.0.1`, `10.0.0.0/8`: inet shows the bits when they are not all.
    pub fn inet_text(&self) -> String {
        if self.bits == self.bits_max() { self.address.to_string() } else { self.cidr_text() }
    }

    /// cidr always shows the bits.
    pub fn cidr_text(&self) -> String {
        format!("{}/{}", self.address, self.bits)
    }

    /// Are all bits right of the network part zero?
    pub fn masked(&self) -> bool {
        match self.address {
            IpAddr::V4(v4) => u32::from(v4).checked_shl(self.bits.into()).unwrap_or(0) == 0,
            IpAddr::V6(v6) => u128::from(v6).checked_shl(self.bits.into()).unwrap_or(0) == 0,
        }
    }
}

/// Canonical text of an inet. 22P02.
pub fn parse_inet(text: &str) -> PgResult<String> {
    network(text, false).map(|network| network.inet_text()).ok_or_else(|| PgError::invalid_input("inet", text))
}

/// Canonical text of a cidr, whose host bits must be zero. 22P02.
pub fn parse_cidr(text: &str) -> PgResult<String> {
    let network = network(text, true).ok_or_else(|| PgError::invalid_input("cidr", text))?;
    if !network.masked() {
        return Err(PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, format!("invalid cidr value: \"{text}\""))
            .detail("Value has bits set to right of mask."));
    }
    Ok(network.cidr_text())
}

/// Reads `address[/bits]`; cidr may leave out trailing octets of IPv4.
pub fn network(text: &str, partial: bool) -> Option<Network> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => {
            if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            (address, Some(bits.parse::<u8>().ok()?))
        }
        None => (text, None),
    };
    if address.contains(':') {
        let address: Ipv6Addr = address.parse().ok()?;
        let bits = bits.unwrap_or(128);
        return (bits <= 128).then_some(Network { address: IpAddr::V6(address), bits });
    }
    let mut octets = [0u8; 4];
    let mut count = 0;
    for part in address.split('.') {
        if count == 4 || part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        octets[count] = part.parse().ok()?;
        count += 1;
    }
    if count < 4 && !partial && bits.is_none() {
        return None;
    }
    // Classful lengths for shortened networks, never less than the octets written.
    let class_bits = match octets[0] {
        240.. => 32,
        224.. => 8,
        192.. => 24,
        128.. => 16,
        _ => 8,
    };
    let implied = if count == 4 { 32 } else { (count as u8 * 8).max(class_bits) };
    let bits = bits.unwrap_or(implied);
    (bits <= 32).then_some(Network { address: IpAddr::V4(Ipv4Addr::from(octets)), bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks() {
        for (text, inet) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1/8", "10.0.0.1/8"),
            ("10.0.0.1/32", "10.0.0.1"),
            ("::1", "::1"),
            ("2001:DB8::0/32", "2001:db8::/32"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ] {
            assert_eq!(parse_inet(text).unwrap(), inet);
        }
        for (text, cidr) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10", "10.0.0.0/8"),
            ("192.168.1", "192.168.1.0/24"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_cidr(text).unwrap(), cidr);
        }
        assert_eq!(
            parse_cidr("10.0.0.1/8").unwrap_err().detail.as_deref(),
            Some("Value has bits set to right of mask.")
        );
        for text in ["", "10.0.0", "10.0.0.256", "10.0.0.1/33", "::1/129", "x", "1.2.3.4/", "1.2.3.4/+8"] {
            assert_eq!(
                parse_inet(text).unwrap_err().message,
                format!("invalid input syntax for type inet: \"{text}\"")
            );
        }
    }
}
