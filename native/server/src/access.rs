//! Who calls, and what they may do: of an open server everybody may everything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Response, StatusCode};
use ring::hmac;
use ring::rand::SystemRandom;
use store_core::{ADMINS, Fault, Principal, Right};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;

use crate::accounts::{self, Account, OPERATORS};
use crate::caller::User;
use crate::engine::Engine;
use crate::{fault, plain};

/// How many passwords are hashed at a time; others wait.
const HASHERS: usize = 2;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Anybody: the server does not ask.
    Anybody,
    /// Nobody who is known.
    Nobody,
    /// A user.
    Known(Principal),
}

/// Why somebody is not who they say.
#[derive(Debug)]
pub enum Unknown {
    /// There are credentials that cannot be read.
    Unreadable,
    /// There is no such user, or the password is another.
    Wrong,
    /// The store failed.
    Failed(Fault),
}

impl Unknown {
    /// What a call by gRPC is answered. A real server falls over what it cannot read.
    pub fn into_response(self) -> Response<Body> {
        match self {
            Self::Unreadable => plain::with_status(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Wrong => Status::unauthenticated("Unauthenticated").into_http(),
            Self::Failed(fault) => fault::of(fault).into_http(),
        }
    }
}

/// Looks at passwords.
pub struct Users {
    /// By what passwords that were right are known again: it is never written anywhere.
    key: hmac::Key,
    /// The last password of each user that was right, and as which change of the user.
    right: Mutex<HashMap<String, (u64, hmac::Tag)>>,
    hashers: Arc<Semaphore>,
}

impl Users {
    /// Nobody was looked at yet.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| "the system has no random numbers".to_owned())?;
        Ok(Self { key, right: Mutex::default(), hashers: Arc::new(Semaphore::new(HASHERS)) })
    }

    /// Who calls with these credentials.
    pub async fn identify(&self, engine: &Arc<Engine>, user: &User) -> Result<Identity, Unknown> {
        match user {
            User::Nobody => Ok(Identity::Nobody),
            User::Unreadable => Err(Unknown::Unreadable),
            User::Named { name, password } => {
                let account = self.check(engine, name, password).await?;
                Ok(Identity::Known(account.principal()))
            }
        }
    }

    /// The user of this name, if the password is right and it may call.
    pub async fn check(&self, engine: &Arc<Engine>, name: &str, password: &str) -> Result<Account, Unknown> {
        let kept = accounts::find(engine, name).await.map_err(Unknown::Failed)?.ok_or(Unknown::Wrong)?;
        let account = kept.account;
        if account.disabled {
            return Err(Unknown::Wrong);
        }
        let known = self.lock().get(name).copied().filter(|(revision, _)| *revision == kept.revision);
        if known.is_some_and(|(_, tag)| hmac::verify(&self.key, password.as_bytes(), tag.as_ref()).is_ok()) {
            return Ok(account);
        }
        let Ok(turn) = self.hashers.clone().acquire_owned().await else { return Err(Unknown::Wrong) };
        let (hashed, given) = (account.password.clone(), password.to_owned());
        let fits = tokio::task::spawn_blocking(move || {
            // Held until the thread is done, also when nobody waits for it any more.
            let _turn = turn;
            hashed.fits(&given)
        });
        if !fits.await.unwrap_or(false) {
            return Err(Unknown::Wrong);
        }
        let tag = hmac::sign(&self.key, password.as_bytes());
        self.lock().insert(name.to_owned(), (kept.revision, tag));
        Ok(account)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u64, hmac::Tag)>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// Whether it may do something with a stream.
    ///
    /// # Errors
    /// What it is answered if not, or if the store fails.
    pub async fn allow(&self, engine: &Arc<Engine>, stream: &str, right: Right) -> Result<(), Status> {
        let who = match self {
            Self::Anybody => return Ok(()),
            Self::Nobody => None,
            Self::Known(who) => Some(who.clone()),
        };
        let stream = stream.to_owned();
        let allowed = engine.read(move |store, _| store.allows(who.as_ref(), &stream, right)).await;
        if allowed.map_err(fault::of)? { Ok(()) } else { Err(fault::access_denied()) }
    }

    /// Whether it may do what operators do, or administrators.
    ///
    /// # Errors
    /// What it is answered if not.
    pub fn operates(&self) -> Result<(), Status> {
        self.is_in_one_of(&[ADMINS, OPERATORS])
    }

    /// Whether it may do what only administrators do.
    ///
    /// # Errors
    /// What it is answered if not.
    pub fn administers(&self) -> Result<(), Status> {
        self.is_in_one_of(&[ADMINS])
    }

    /// Whether it is the user of this name.
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Known(who) if who.name == name)
    }

    fn is_in_one_of(&self, groups: &[&str]) -> Result<(), Status> {
        let allowed = match self {
            Self::Anybody => true,
            Self::Nobody => false,
            Self::Known(who) => groups.iter().any(|group| who.is_in(group)),
        };
        if allowed { Ok(()) } else { Err(fault::access_denied()) }
    }
}
