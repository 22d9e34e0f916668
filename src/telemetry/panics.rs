//! What a panic says: where it happened, and never what it was looking at.

use std::panic::PanicHookInfo;

/// Sends panics to the log instead of standard error: their place, and their message only where it is fixed text. A
/// message that was put together at run time may hold a part of a request or a token.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, message = fixed_message(panic), "panicked: this is a defect, please report the place");
    }));
}

fn fixed_message<'p>(panic: &'p PanicHookInfo<'_>) -> Option<&'p str> {
    panic.payload().downcast_ref::<&'static str>().copied()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn row_202_messages_made_at_run_time_are_left_out() {
        let said: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let listener = Arc::clone(&said);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| place.file().ends_with("panics.rs")) {
                listener.lock().unwrap().push(fixed_message(panic).map(str::to_owned));
            } else {
                before(panic);
            }
        }));
        let token = String::from("eyJ.secret.sig");
        let made = std::thread::spawn(move || panic!("cannot read `{token}`")).join();
        let fixed = std::thread::spawn(|| panic!("a fixed text")).join();
        assert!(made.is_err() && fixed.is_err());
        drop(std::panic::take_hook());
        assert_eq!(*said.lock().unwrap(), [None, Some("a fixed text".to_owned())]);
    }
}
