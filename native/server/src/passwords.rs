//! Passwords as they are kept: salted, and hashed slowly.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::pbkdf2;
use uuid::Uuid;

static ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
/// How much work a guess is: some 50 ms.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
/// The length of a hash in bytes.
const LENGTH: usize = 32;

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// What was mixed in, in base64.
    pub salt: String,
    /// The hash, in base64.
    pub hash: String,
    /// How often it was hashed.
    pub iterations: NonZeroU32,
}

impl Hashed {
    /// What is kept of a password. It takes long: not on a thread that carries sockets.
    pub fn of(password: &str) -> Self {
        // The numbers of ids come from the system, and are for keys, too.
        let salt = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let mut hash = [0; LENGTH];
        pbkdf2::derive(ALGORITHM, ITERATIONS, &salt, password.as_bytes(), &mut hash);
        Self { salt: STANDARD.encode(salt), hash: STANDARD.encode(hash), iterations: ITERATIONS }
    }

    /// Whether it is of this password. It takes as long.
    pub fn fits(&self, password: &str) -> bool {
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(&self.salt), STANDARD.decode(&self.hash)) else {
            return false;
        };
        pbkdf2::verify(ALGORITHM, self.iterations, &salt, password.as_bytes(), &hash).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_what_is_kept_of_it_and_no_other_does() {
        let kept = Hashed::of("changeit");
        assert!(kept.fits("changeit"));
        assert!(!kept.fits("changeit ") && !kept.fits(""));
        assert_ne!(kept, Hashed::of("changeit"));
        assert!(!Hashed { salt: "?".into(), ..kept.clone() }.fits("changeit"));
        assert!(!Hashed { hash: String::new(), ..kept }.fits(""));
    }
}
