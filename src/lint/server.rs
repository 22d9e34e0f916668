//! Listeners.

use super::policy::Policy;
use super::{Code, Finding};
use crate::config::server::Address;
use crate::core::request::Direction;

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let server = policy.root.key("server");
    let check = server.key("check");
    let (mut inbound, mut outbound) = (false, false);
    for spec in &policy.written.rules {
        match spec.matcher.direction.unwrap_or(Direction::Inbound) {
            Direction::Inbound => inbound = true,
            Direction::Outbound => outbound = true,
        }
    }
    for (at, listener) in policy.config.server.check.iter().enumerate() {
        let Some(spot) = check.item(at) else { continue };
        let (name, has_rules) = match listener.direction {
            Direction::Inbound => ("inbound", inbound),
            Direction::Outbound => ("outbound", outbound),
        };
        // No rules at all are said as such.
        if !has_rules && !policy.written.rules.is_empty() {
            let message = format!("a listener for `{name}` requests is there, and no rule is for them");
            findings.push(Finding::new(Code::ListenerWithoutRules, &spot, message));
        }
        match (&listener.address, &listener.tls) {
            (Address::Tcp(address), None) if !address.ip().is_loopback() => {
                let message = format!("anybody who reaches `{address}` can ask there, and nothing is encrypted");
                findings.push(Finding::new(Code::CheckWithoutTls, &spot, message));
            }
            (Address::Tcp(address), Some(tls)) if tls.client_ca.is_none() => {
                let message =
                    format!("anybody who reaches `{address}` can ask there: no client certificate is asked for");
                findings.push(Finding::new(Code::CheckWithoutTls, &spot.key("tls"), message));
            }
            (Address::Tcp(_), _) | (Address::Unix { .. }, _) => {}
        }
        open_socket(&listener.address, &spot.key("mode"), findings);
    }
    if let Some(control) = &policy.config.server.control {
        let spot = server.key("control");
        open_socket(&control.address, &spot.key("mode"), findings);
        if let Some(place) = spot.find("token_env") {
            findings.push(Finding::new(
                Code::TokenInEnvironment,
                &place,
                "the control listener's token is a variable of the environment",
            ));
        }
    }
}

fn open_socket(address: &Address, place: &crate::config::written::Spot<'_>, findings: &mut Vec<Finding>) {
    if let Address::Unix { path, mode } = address
        && mode & 0o002 != 0
    {
        let message = format!("every user of this machine can use `{}`, whose mode is `{mode:04o}`", path.display());
        findings.push(Finding::new(Code::OpenSocket, place, message));
    }
}
