//! One Envoy on both sides of a service: the shipped inbound and outbound configurations in one file.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::super::DemoError;
use super::shipped::{Gate, Shipped};

/// The name of the cluster of the gate's outbound listener: one file cannot have two clusters `tollgate`.
const OUTBOUND_GATE: &str = "tollgate-outbound";

/// An Envoy beside a service. Its listeners are `inbound` and `outbound`, on free ports of loopback.
#[derive(Clone, Debug)]
pub struct Sidecar<'a> {
    /// The service.
    pub service: SocketAddr,
    /// The gate's socket for what comes in.
    pub inbound: &'a Path,
    /// The gate's socket for what goes out.
    pub outbound: &'a Path,
    /// What may be called: the host by which it is called, and where it is.
    pub destinations: Vec<(String, SocketAddr)>,
}

impl Sidecar<'_> {
    /// The configuration. It waits for the gate and for services as long as machines that do other things may need it to.
    ///
    /// # Errors
    /// Where the shipped files are not as this expects them.
    pub fn config(&self) -> Result<String, DemoError> {
        let gate = |socket: &Path| [Gate::Unix(socket.to_owned())];
        let inbound = Shipped::inbound().between(0, 0, self.service, &gate(self.inbound))?;
        let mut whole = patient(inbound)?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let outbound = Shipped::outbound().towards(nowhere, (nowhere, Path::new("/")), &gate(self.outbound))?;
        let mut outbound = patient(outbound)?;
        self.direct(&mut outbound)?;
        for list in ["/static_resources/listeners", "/static_resources/clusters"] {
            let more = array(&mut outbound, list)?.split_off(0);
            array(&mut whole, list)?.extend(more);
        }
        for cluster in array(&mut whole, "/static_resources/clusters")? {
            *at(cluster, "/connect_timeout")? = "10s".into();
        }
        // JSON is YAML.
        Ok(whole.to_string())
    }

    /// Puts this service's destinations in place of the shipped ones, each made like the shipped plain one.
    fn direct(&self, config: &mut Value) -> Result<(), DemoError> {
        const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let filter = format!("{MANAGER}/http_filters/0/typed_config/grpc_service/envoy_grpc/cluster_name");
        *at(config, &filter)? = OUTBOUND_GATE.into();
        let hosts = array(config, &format!("{MANAGER}/route_config/virtual_hosts"))?;
        let host = hosts.first().cloned().ok_or_else(|| missing("virtual_hosts"))?;
        *hosts = self
            .destinations
            .iter()
            .map(|(name, _)| {
                let mut host = host.clone();
                *at(&mut host, "/name")? = name.as_str().into();
                *at(&mut host, "/domains")? = vec![name.clone(), format!("{name}:*")].into();
                *at(&mut host, "/routes/0/route/cluster")? = name.as_str().into();
                Ok(host)
            })
            .collect::<Result<_, DemoError>>()?;
        let clusters = array(config, "/static_resources/clusters")?;
        let named = |clusters: &[Value], name: &str| {
            clusters.iter().find(|cluster| cluster.get("name").is_some_and(|known| known == name)).cloned()
        };
        let plain = named(clusters, "payments").ok_or_else(|| missing("payments"))?;
        let mut gate = named(clusters, "tollgate").ok_or_else(|| missing("tollgate"))?;
        rename(&mut gate, OUTBOUND_GATE)?;
        *clusters = vec![gate];
        for (name, address) in &self.destinations {
            let mut cluster = plain.clone();
            rename(&mut cluster, name)?;
            let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
            *at(&mut cluster, &format!("{endpoint}/address"))? = address.ip().to_string().into();
            *at(&mut cluster, &format!("{endpoint}/port_value"))? = address.port().into();
            clusters.push(cluster);
        }
        Ok(())
    }
}

fn patient(shipped: Shipped) -> Result<Value, DemoError> {
    let shipped = shipped.replace(" timeout: 0.25s\n", " timeout: 10s\n")?;
    serde_saphyr::from_str(shipped.text()).map_err(|error| DemoError::Shipped(error.to_string()))
}

fn rename(cluster: &mut Value, name: &str) -> Result<(), DemoError> {
    *at(cluster, "/name")? = name.into();
    *at(cluster, "/load_assignment/cluster_name")? = name.into();
    Ok(())
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> Result<&'a mut Value, DemoError> {
    value.pointer_mut(pointer).ok_or_else(|| missing(pointer))
}

fn array<'a>(value: &'a mut Value, pointer: &str) -> Result<&'a mut Vec<Value>, DemoError> {
    at(value, pointer)?.as_array_mut().ok_or_else(|| missing(pointer))
}

fn missing(what: &str) -> DemoError {
    DemoError::Shipped(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_in_one_file_with_these_destinations_alone() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4711));
        let sidecar = Sidecar {
            service: address,
            inbound: Path::new("/tmp/in.sock"),
            outbound: Path::new("/tmp/out.sock"),
            destinations: vec![("b.internal".to_owned(), address), ("c.internal".to_owned(), address)],
        };
        let config: Value = serde_json::from_str(&sidecar.config().unwrap()).unwrap();
        let names = |list: &str| -> Vec<String> {
            let list = config["static_resources"][list].as_array().unwrap();
            list.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("listeners"), ["inbound", "outbound"]);
        assert_eq!(names("clusters"), ["service", "tollgate", OUTBOUND_GATE, "b.internal", "c.internal"]);
        let text = config.to_string();
        for shipped in ["payments", "ledger", "/run/tollgate", "0.25s"] {
            assert!(!text.contains(shipped), "{shipped}");
        }
    }
}
