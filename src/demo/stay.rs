//! Reloads, as they happen.

use std::time::Duration;

use super::paint::Paint;
use crate::engine::{Engine, Reload};

/// Between two looks at whether something was reloaded.
const PAUSE: Duration = Duration::from_millis(200);

/// Shows one line for each reload, or the errors of one that was refused. Never returns.
pub(super) async fn show_reloads(engine: &Engine, paint: Paint, show: &mut (dyn FnMut(&str) + Send)) {
    let mut shown: Option<Reload> = engine.status().last_reload;
    let mut generation = engine.status().generation;
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(reload) = engine.status().last_reload else { continue };
        let before = shown.as_ref().and_then(|reload| reload.error.as_ref());
        let news = reload.generation != generation || reload.error.as_ref() != before;
        if news {
            match &reload.error {
                Some(error) => {
                    show(&paint.bad(&format!("refused; generation {} goes on serving:", reload.generation)));
                    for message in error.messages() {
                        show(&format!("  {message}"));
                    }
                }
                None if reload.generation == generation => show("the policy is again as it is served"),
                None => show(&paint.good(&format!("reloaded: generation {} serves now", reload.generation))),
            }
        }
        generation = reload.generation;
        shown = Some(reload);
    }
}
