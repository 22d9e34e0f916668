//! Sets of tokens that are kept between runs: RSA signs too slowly to make a hundred thousand each time.

use std::fs;
use std::path::Path;

use crate::process::pin_to;

use super::{Algorithm, Keys, Kind, mint, now};

/// Tokens that are older than this are made anew; they last longer.
const KEPT: u64 = 8 * 3600;

/// So many tokens, from a file of the folder if it has them, fresh enough; else minted, by all cores, and kept there.
///
/// # Errors
/// The folder's, or a key would not sign.
pub fn tokens_on_disk(
    folder: &Path,
    keys: &Keys,
    algorithm: Algorithm,
    kind: Kind,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let file = folder.join(format!("{}-{kind:?}.tokens", algorithm.name()));
    if let Ok(text) = fs::read_to_string(&file) {
        let mut lines = text.lines();
        let minted: u64 = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
        if now().saturating_sub(minted) < KEPT {
            let tokens: Vec<String> = lines.take(count).map(str::to_owned).collect();
            if tokens.len() == count {
                return Ok(tokens);
            }
        }
    }
    eprintln!("minting {count} {} tokens", algorithm.name());
    let at = now();
    let tokens = mint_all(keys, algorithm, kind, count, at)?;
    fs::create_dir_all(folder)?;
    fs::write(&file, format!("{at}\n{}\n", tokens.join("\n")))?;
    Ok(tokens)
}

fn mint_all(keys: &Keys, algorithm: Algorithm, kind: Kind, count: usize, at: u64) -> anyhow::Result<Vec<String>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).max(2);
    std::thread::scope(|scope| {
        let part = |n: usize| (count * n / cores) as u64..(count * (n + 1) / cores) as u64;
        let minting: Vec<_> = (0..cores)
            .map(|n| {
                scope.spawn(move || {
                    // This thread may be kept on one core; its children would be, too. Without a core they do as well.
                    let _ = pin_to(n);
                    part(n).map(|nth| mint(keys, algorithm, kind, nth, at)).collect::<anyhow::Result<Vec<_>>>()
                })
            })
            .collect();
        let mut tokens = Vec::with_capacity(count);
        for thread in minting {
            tokens.extend(thread.join().map_err(|_| anyhow::anyhow!("minting panicked"))??);
        }
        Ok(tokens)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_used_again_and_what_is_missing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::generate().unwrap();
        let get = |count| tokens_on_disk(folder.path(), &keys, Algorithm::Es256, Kind::Good, count).unwrap();
        let five = get(5);
        // ECDSA signs with a nonce: the same texts are the same tokens.
        assert_eq!(get(5), five);
        assert_eq!(get(3), five[..3]);
        assert_eq!(get(9).len(), 9);
        let path = folder.path().join("ES256-Good.tokens");
        let old = fs::read_to_string(&path).unwrap().replacen(char::is_numeric, "", 8);
        fs::write(&path, old).unwrap();
        assert_ne!(get(5), five);
    }
}
