//! What is read in a run, as chance has it.

use fastrand::Rng;
use reader_core::{Filter, LogPosition, Pattern, Start, Subject, Target};

use crate::model::Server;

pub fn target(server: &Server, random: &mut Rng) -> Target {
    let filter = || {
        let pattern = Pattern::Prefixes(vec!["ours".into()]);
        Filter::new(Subject::Stream, pattern, 3, 2).expect("a good filter")
    };
    if random.bool() {
        let from = match random.u8(0..3) {
            0 => Start::Beginning,
            1 => Start::End,
            _ => Start::After(random.u64(0..20)),
        };
        return Target::Stream { name: "ours".into(), from };
    }
    let from = match (random.u8(0..4), server.log.last()) {
        (0, _) | (2, None) => Start::Beginning,
        (1, _) => Start::End,
        (2, Some(_)) => {
            let record = random.choice(&server.log);
            record.map_or(Start::Beginning, |record| Start::After(record.place.log))
        }
        (_, last) => {
            let commit = last.map_or(0, |last| last.place.log.commit) + random.u64(0..60);
            Start::After(LogPosition { commit, prepare: commit })
        }
    };
    Target::All { from, filter: random.bool().then(filter) }
}
