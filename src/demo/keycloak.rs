//! `tollgate demo keycloak`: three services that call each other for a user, each behind its own Envoy and gate, on a
//! real Keycloak.

mod chain;
mod realm;
mod server;
mod service;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::paint::Paint;
use super::{DemoError, envoy, until_interrupted};
pub use chain::{Chain, Node};
pub use realm::{Login, REALM, Realm, claims, password};
pub use server::{Keycloak, find};
pub use service::{HOPS, Hop};

/// Who administers the demo's Keycloak.
pub const ADMIN: &str = "admin";
/// Its password: no secret at all.
pub const ADMIN_PASSWORD: &str = "not-a-secret-admin";

/// Three services that call each other for a user, each behind its own Envoy and gate, on a real Keycloak
///
/// Starts a Keycloak with the realm of `examples/keycloak` and the chain USER -> A -> B -> C: alice's token is exchanged
/// at every hop for one that the next service alone accepts. Shows what each service received, that a log-out counts, and
/// that a token is refused where it was not meant to go. Then it stays up and prints `curl` lines.
///
/// `make demo-keycloak` fetches the Keycloak and runs this. It needs Java 17 or newer.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_long_help = "\
Examples:
  tollgate demo keycloak
  tollgate demo keycloak --once
  tollgate demo keycloak --home /opt/keycloak --port 8080

Exit codes:
  0  the tour went as it should
  1  it did not
  3  the demo could not run")]
pub struct KeycloakOptions {
    /// The folder of a Keycloak, which is only read; the one that TOLLGATE_KEYCLOAK names or that `make idp` fetched
    /// unless given
    #[arg(long, value_name = "FOLDER")]
    pub home: Option<PathBuf>,
    /// End after the tour: exit code 0 where everything was as expected, 1 where it was not
    #[arg(long)]
    pub once: bool,
    /// Where Keycloak is; a free port unless given
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
}

/// Runs it until Ctrl-C or SIGTERM, or to the end of the tour; exit codes as those of [`super::run`].
pub async fn run(options: KeycloakOptions) -> ExitCode {
    until_interrupted(async |end, show| run_with(&options, Paint::for_stdout(), end, show).await).await
}

/// As [`run`], until `end` and line by line to `show`. Whether the tour went as expected.
///
/// # Errors
/// Where the demo cannot run, or ends before the tour does.
pub async fn run_with(
    options: &KeycloakOptions,
    paint: Paint,
    end: CancellationToken,
    show: &mut (dyn FnMut(&str) + Send),
) -> Result<bool, DemoError> {
    let binary = envoy::find()?.ok_or(DemoError::NoEnvoy)?;
    let home = match &options.home {
        Some(home) if !home.join("bin/kc.sh").is_file() => return Err(DemoError::NoKeycloak(Some(home.clone()))),
        Some(home) => home.clone(),
        None => find().ok_or(DemoError::NoKeycloak(None))?,
    };
    let tour = async {
        show("Keycloak starts; that takes half a minute or more.");
        let keycloak = Keycloak::start(&home, options.port, REALM).await?;
        let realm = Realm::new(keycloak.address());
        let chain = Chain::start(&binary, &realm.issuer(), |_, policy| policy).await?;
        show::introduction(&realm, &chain, show);
        let all_well = show::tour(&realm, &chain, paint, show).await?;
        Ok::<_, DemoError>((keycloak, realm, chain, all_well))
    };
    let (keycloak, realm, chain, all_well) = end.run_until_cancelled(tour).await.ok_or(DemoError::Interrupted)??;
    show("");
    show(&if all_well {
        paint.good("Everything was as expected.")
    } else {
        paint.bad("Not everything was as expected: see the lines marked `no`.")
    });
    if !options.once {
        show::invitation(&realm, &chain, show);
        end.cancelled().await;
    }
    chain.stop().await;
    drop(keycloak);
    Ok(all_well)
}
