//! What must be so, on the way and at the end.

use reader_core::{Answer, Beyond, Failure, State, Target};

use crate::laws::key;
use crate::world::World;

impl World {
    pub fn check_beyond(&self, beyond: Option<Beyond>) {
        let Some(Beyond { position, last }) = beyond else { return };
        assert_eq!(Some(last), self.found, "not what the server said");
        assert_eq!(Some(key(position)), self.laws.floor);
        assert!(last.is_none_or(|last| key(last) < key(position)), "{last:?} is not before {position:?}");
        if last.is_none() && matches!(self.target, Target::Stream { .. }) {
            let said = [Answer::Deleted(false), Answer::NotFound(Failure::Final)];
            assert!(self.deleted.is_some_and(|answer| said.contains(&answer)), "{:?}", self.deleted);
        }
    }

    pub fn check_that_something_is_waited_for(&self) {
        let hears = self.has_call && self.has_heard;
        assert!(
            self.reader.poll_timeout().is_some() || hears || self.is_stopped,
            "it waits for ever: {:?}",
            self.reader
        );
        assert_eq!(self.is_stopped, self.reader.state() == State::Stopped);
        if self.is_stopped {
            assert_eq!(self.reader.poll_timeout(), None);
        }
    }

    pub fn check_the_end(&self) {
        let on_log = matches!(self.target, Target::All { .. });
        if self.is_stopped {
            return;
        }
        assert!(on_log || !self.server.is_tombstoned(), "the tombstone was not seen");
        assert!(self.laws.is_settled(), "lost: {:?} at {:?}", self.laws.first_owed(), self.laws.floor);
        assert_eq!(self.reader.state(), State::Subscribed, "{:?}", self.reader);
        let Answer::Found(end) = self.server.end(on_log) else { panic!("a tombstone") };
        let is_short = match (end.map(key), self.laws.floor) {
            (Some(end), Some(floor)) => end < floor,
            (None, Some(_)) => on_log || !self.server.is_softly_deleted(),
            (_, None) => false,
        };
        assert_eq!(self.beyond.is_some(), is_short, "{:?}, and it ends at {end:?}", self.beyond);
    }
}
