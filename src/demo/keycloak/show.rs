//! What the demo on Keycloak tells.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::DemoError;
use super::super::client::Reply;
use super::super::paint::Paint;
use super::chain::Chain;
use super::realm::{Realm, password};
use super::service::Hop;
use super::{ADMIN, ADMIN_PASSWORD};

/// A log-out counts as soon as the answers about the session's tokens have left the gates' caches: 2 s by the policies.
const LOG_OUT_COUNTS: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// What runs, and where.
pub(super) fn introduction(realm: &Realm, chain: &Chain, show: &mut (dyn FnMut(&str) + Send)) {
    let realm_url = realm.issuer();
    let console = realm_url.replace("/realms/shop", "/admin/master/console/#/shop");
    show("");
    show(&format!("  Keycloak   {realm_url}"));
    show(&format!("             {console}  ({ADMIN}, {ADMIN_PASSWORD})"));
    for node in chain.nodes() {
        let (name, inbound, outbound) = (node.hop().name, node.inbound(), node.outbound());
        show(&format!("  {name}  in by http://{inbound}, out by http://{outbound}"));
    }
}

/// Walks the chain and shows what every hop received. Whether all was as expected.
pub(super) async fn tour(
    realm: &Realm,
    chain: &Chain,
    paint: Paint,
    show: &mut (dyn FnMut(&str) + Send),
) -> Result<bool, DemoError> {
    let (a, b) = (chain.node("service-a")?, chain.node("service-b")?);
    let mut all_well = true;
    let mut stop = |what: &str, good: bool, seen: &str, show: &mut (dyn FnMut(&str) + Send)| {
        all_well &= good;
        let mark = if good { paint.good("ok") } else { paint.bad("no") };
        show(&format!("  {mark}  {what:<44}  {seen}"));
    };
    let login = realm.log_in("web", "alice").await?;
    show("");
    show("alice calls service-a, which calls service-b and service-c for her; service-b calls service-c, too.");
    show("What each received:");
    show("");
    let reply = a.call(&login.access_token).await?;
    let body = reply.json();
    let mut rows = Vec::new();
    hops(&body, "alice", &mut rows);
    show(
        &paint.faint(&format!("  {:<24} {:<10} {:<10} {:<8} {:<7} user", "from, to", "aud", "azp", "scope", "session")),
    );
    for (way, token) in &rows {
        show(&row(way, token));
    }
    show("");
    let audiences: Vec<&str> = rows.iter().map(|(_, token)| text(token, "aud")).collect();
    let expected = ["service-a", "service-b", "service-c", "service-c"];
    stop("the chain", reply.status == 200 && audiences == expected, &verdict(&reply), show);
    let same =
        rows.iter().all(|(_, token)| text(token, "sub") == text(body.get("token").unwrap_or(&Value::Null), "sub"));
    stop("the user is the same everywhere", same && !rows.is_empty(), "-", show);
    let refused = b.call(&login.access_token).await?;
    stop("service-b, with the token for service-a", refused.status == 401, &verdict(&refused), show);

    realm.log_out("web", &login).await?;
    let late = Instant::now() + LOG_OUT_COUNTS;
    let refused = loop {
        let reply = a.call(&login.access_token).await?;
        if reply.status == 401 || Instant::now() >= late {
            break reply;
        }
        sleep(PAUSE).await;
    };
    stop("service-a, after alice has logged out", refused.status == 401, &verdict(&refused), show);
    Ok(all_well)
}

/// What to try.
pub(super) fn invitation(realm: &Realm, chain: &Chain, show: &mut (dyn FnMut(&str) + Send)) {
    let at = |name: &str| chain.node(name).map(|node| (node.hop(), node.inbound(), node.outbound()));
    let (Ok((a, a_in, a_out)), Ok((b, b_in, _))) = (at("service-a"), at("service-b")) else { return };
    let alice = password("alice");
    let field = |name: &str| format!("python3 -c 'import json,sys; print(json.load(sys.stdin)[\"{name}\"])'");
    let lines = [
        "".to_owned(),
        "Try it yourself. A login as alice (or bob); tokens live for five minutes:".to_owned(),
        "".to_owned(),
        format!(
            "  LOGIN=$(curl -s {} -d grant_type=password -d client_id=web -d username=alice -d password={alice})",
            realm.endpoint("token")
        ),
        format!("  TOKEN=$(echo \"$LOGIN\" | {})", field("access_token")),
        format!("  REFRESH=$(echo \"$LOGIN\" | {})", field("refresh_token")),
        "".to_owned(),
        "The chain, with what each hop received:".to_owned(),
        "".to_owned(),
        format!(
            "  curl -s -H \"Authorization: Bearer $TOKEN\" -H 'Host: {}' http://{a_in}{} | python3 -m json.tool",
            Hop::host(a.name),
            a.path
        ),
        "".to_owned(),
        "service-b refuses what was meant for service-a:".to_owned(),
        "".to_owned(),
        format!(
            "  curl -i -H \"Authorization: Bearer $TOKEN\" -H 'Host: {}' http://{b_in}{}",
            Hop::host(b.name),
            b.path
        ),
        "".to_owned(),
        "service-a calls as itself, without a user; and a host that it may not call gets nothing:".to_owned(),
        "".to_owned(),
        format!("  curl -s -H 'Host: {}' http://{a_out}/reports", Hop::host(b.name)),
        format!("  curl -i -H \"Authorization: Bearer $TOKEN\" -H 'Host: evil.example' http://{a_out}{}", b.path),
        "".to_owned(),
        "Log out, and within two seconds the first call is refused:".to_owned(),
        "".to_owned(),
        format!("  curl -i {} -d client_id=web -d refresh_token=$REFRESH", realm.endpoint("logout")),
        "".to_owned(),
        "Ctrl-C ends.".to_owned(),
    ];
    for line in lines {
        show(&line);
    }
}

/// The tokens that were received, from the first hop on, each with who sent it to whom.
fn hops(answer: &Value, from: &str, rows: &mut Vec<(String, Value)>) {
    let service = text(answer, "service");
    rows.push((format!("{from}, {service}"), answer.get("token").cloned().unwrap_or_default()));
    for call in answer.get("calls").and_then(Value::as_array).into_iter().flatten() {
        if let Some(next) = call.get("answer").filter(|next| next.get("service").is_some()) {
            hops(next, service, rows);
        }
    }
}

fn row(way: &str, token: &Value) -> String {
    let (aud, azp, scope) = (text(token, "aud"), text(token, "azp"), text(token, "scope"));
    let session = if token.get("sid").is_some() { "yes" } else { "-" };
    format!("  {way:<24} {aud:<10} {azp:<10} {scope:<8} {session:<7} {}", text(token, "preferred_username"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn verdict(reply: &Reply) -> String {
    let body = reply.json();
    match body.get("reason").and_then(Value::as_str) {
        Some(reason) => format!("{} {reason}", reply.status.as_u16()),
        None => reply.status.as_u16().to_string(),
    }
}
