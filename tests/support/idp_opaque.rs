//! oidc-provider as a child process: opaque tokens from a certified provider.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tollgate::demo::client::{Call, Reply};
use url::form_urlencoded;

/// The provider. It ends when this is dropped, and when this process ends: its standard input is closed then.
pub(crate) struct OpaqueProvider {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl OpaqueProvider {
    /// On `port`, or on a free one where that is 0, with an issuer URL and the key set of its client `service-jwt`.
    ///
    /// Node hangs at its start now and then, where many are started at once. Then there is another attempt.
    pub(crate) fn start(port: u16, issuer: Option<&str>, client_keys: &Value) -> Self {
        let mut why = String::new();
        for _ in 0..3 {
            match Self::attempt(port, issuer, client_keys) {
                Ok(started) => return started,
                Err(error) => why = error,
            }
        }
        panic!("oidc-provider does not start: {why}");
    }

    fn attempt(port: u16, issuer: Option<&str>, client_keys: &Value) -> Result<Self, String> {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/oidc-provider");
        assert!(modules.join("node_modules").is_dir(), "no oidc-provider: `make idp` fetches it");
        // Packages are looked for from the current directory where a script is given like this.
        let mut command = Command::new("node");
        command
            .current_dir(modules)
            .args(["--input-type=module", "--eval", include_str!("../idp/opaque/provider.mjs")])
            .env("CLIENT_JWKS", client_keys.to_string())
            .env("PORT", port.to_string())
            .env_remove("ISSUER")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(issuer) = issuer {
            command.env("ISSUER", issuer);
        }
        let mut child = command.spawn().expect("node starts");
        let (tell, told) = mpsc::channel();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = out.read_line(&mut line);
            let _ = tell.send(line);
            // A full pipe would stop it.
            let _ = std::io::copy(&mut out, &mut std::io::sink());
        });
        let mut err = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || std::io::read_to_string(&mut err).unwrap_or_default());
        let line = told.recv_timeout(Duration::from_secs(20)).unwrap_or_default();
        match line.trim().strip_prefix("http://").map(str::parse) {
            Some(Ok(address)) => Ok(Self { address, child }),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{line}\n{}", log.join().unwrap()))
            }
        }
    }

    /// Ends it, as a crash would. Its tokens are forgotten.
    pub(crate) fn kill(mut self) -> SocketAddr {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address
    }

    /// Sends a form, as the client `caller`.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let mut serializer = form_urlencoded::Serializer::new(String::new());
        let body = serializer.extend_pairs(form).finish();
        let call = Call { body: body.into(), ..Call::get(&self.address.to_string(), path).method(Method::POST) };
        // caller:not-a-secret-caller
        call.header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", "Basic Y2FsbGVyOm5vdC1hLXNlY3JldC1jYWxsZXI=")
            .send(self.address)
            .await
            .unwrap()
    }

    /// A token for `caller` with this scope, for this resource or for none.
    pub(crate) async fn token(&self, scope: &str, resource: Option<&str>) -> String {
        let mut form = vec![("grant_type", "client_credentials"), ("scope", scope)];
        form.extend(resource.map(|resource| ("resource", resource)));
        let reply = self.post("/token", &form).await;
        let token = reply.json()["access_token"].as_str().map(str::to_owned);
        token.unwrap_or_else(|| panic!("{}", reply.text()))
    }

    pub(crate) async fn revoke(&self, token: &str) {
        assert_eq!(self.post("/token/revocation", &[("token", token)]).await.status, 200);
    }
}

impl Drop for OpaqueProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
