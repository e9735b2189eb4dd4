//! What lies between the machine and the model, and what happens to both.

use std::time::Duration;

use reader_core::{Answer, Epoch, Failure, LARGEST, LogPosition, Target};

use crate::model::{Call, Message, OURS, Record};
use crate::world::World;

#[derive(Debug)]
pub enum Happening {
    /// Somebody does something to the server or the road.
    Trouble,
    /// Nothing goes wrong any more.
    Peace,
    /// A request arrives at the server.
    Accept(Epoch, Target),
    Search(Epoch, Wanted),
    /// The server has time for a call.
    Pull(Epoch),
    /// Something arrives at the client.
    Event(Epoch, Record),
    Answer(Epoch, Answer, u64),
}

#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    End,
    Deletion,
}

/// A connection as the road and the server see it.
#[derive(Debug)]
pub struct Connection {
    pub call: Option<Call>,
    /// Nothing is sent by it any more.
    pub is_cut: bool,
    /// When the last message sent by it arrives: they stay in order.
    pub arrival: Duration,
}

impl World {
    pub fn trouble(&mut self) {
        match self.random.u8(0..100) {
            0..60 => {
                let stream = self.random.u8(0..3);
                for _ in 0..self.random.u8(1..6) {
                    if let Some(record) = self.server.append(stream, &mut self.random) {
                        self.laws.appended(record);
                    }
                }
            }
            60..74 => self.cut_all(),
            74..80 => self.server.truncate(&mut self.random),
            80..84 => self.server.delete(),
            84..90 => {
                self.server.roll_back(&mut self.random);
                self.cut_all();
            }
            90 if self.random.u8(0..3) == 0 => {
                if let Some(record) = self.server.tombstone(&mut self.random) {
                    self.laws.appended(record);
                }
            }
            91..95 => {
                self.connections.values_mut().filter_map(|it| it.call.as_mut()).for_each(Call::fall_behind)
            }
            95..97 => self.say_to_all(Answer::FellBehind),
            97 => self.say_to_all(Answer::Unknown),
            98 => self.say_to_all(Answer::CaughtUp),
            99 if self.random.u8(0..5) == 0 => self.say_what_is_impossible(),
            _ => {}
        }
        self.laws.forgive(&self.server);
    }

    fn open(&self) -> Vec<Epoch> {
        let open = self.connections.iter().filter(|(_, it)| !it.is_cut);
        open.map(|(epoch, _)| *epoch).collect()
    }

    /// Ends all connections; what was under way arrives, or is lost, or arrives when nobody waits for it any more.
    pub fn cut_all(&mut self) {
        for epoch in self.open() {
            if self.random.bool() {
                let mut lose = self.random.bool();
                let random = &mut self.random;
                self.happenings.retain(|_, it| match it {
                    Happening::Event(of, _) | Happening::Answer(of, ..) if *of == epoch => {
                        lose |= random.u8(0..4) == 0;
                        !lose
                    }
                    _ => true,
                });
                if let Some(connection) = self.connections.get_mut(&epoch) {
                    connection.arrival = self.now;
                }
            }
            self.send(epoch, Answer::Ended(Failure::Passing));
            self.cut(epoch);
        }
    }

    pub fn cut(&mut self, epoch: Epoch) {
        if let Some(connection) = self.connections.get_mut(&epoch) {
            connection.is_cut = true;
        }
    }

    fn say_to_all(&mut self, answer: Answer) {
        for epoch in self.open() {
            if self.connections.get(&epoch).is_some_and(|it| it.call.is_some()) {
                self.send(epoch, answer);
            }
        }
    }

    fn say_what_is_impossible(&mut self) {
        for epoch in self.open() {
            if self.connections.get(&epoch).is_some_and(|it| it.call.is_some()) {
                let mut record =
                    Record { id: 0, age: self.server.age, stream: OURS, place: Default::default() };
                record.place.revision = LARGEST + 1;
                record.place.log = LogPosition { commit: LARGEST, prepare: LARGEST + 1 };
                self.deliver(epoch, Happening::Event(epoch, record));
                // nothing can be said about what comes after it
                self.cut(epoch);
            }
        }
    }

    /// How long something is on its way; now and then longer than anybody waits.
    pub fn delay(&mut self) -> Duration {
        let most = match self.random.u8(0..100) {
            0 if !self.is_peace => 30_000,
            1..10 => 500,
            _ => 20,
        };
        Duration::from_millis(self.random.u64(0..most))
    }

    fn deliver(&mut self, epoch: Epoch, happening: Happening) {
        let arrival = self.now + self.delay();
        let Some(connection) = self.connections.get_mut(&epoch).filter(|it| !it.is_cut) else { return };
        connection.arrival = connection.arrival.max(arrival);
        let at = connection.arrival;
        self.plan(at, happening);
    }

    pub fn send(&mut self, epoch: Epoch, answer: Answer) {
        let age = self.server.age;
        self.deliver(epoch, Happening::Answer(epoch, answer, age));
    }

    pub fn is_lucky(&mut self) -> bool {
        self.is_peace || self.random.u8(0..100) < 93
    }

    pub fn accept(&mut self, epoch: Epoch, target: Target) {
        if !self.is_lucky() {
            if self.random.bool() {
                self.send(epoch, Answer::Ended(Failure::Passing));
                self.cut(epoch);
            }
            return;
        }
        match Call::begin(&self.server, target) {
            Ok(call) => {
                if let Some(connection) = self.connections.get_mut(&epoch) {
                    connection.call = Some(call);
                }
                self.plan(self.now, Happening::Pull(epoch));
            }
            Err(failure) => {
                self.send(epoch, Answer::Ended(failure));
                self.cut(epoch);
            }
        }
    }

    pub fn search(&mut self, epoch: Epoch, wanted: Wanted) {
        if !self.is_lucky() {
            if self.random.bool() {
                self.send(epoch, Answer::NotFound(Failure::Passing));
            }
            return;
        }
        let answer = match wanted {
            Wanted::End => self.server.end(matches!(self.target, Target::All { .. })),
            Wanted::Deletion if !self.is_peace && self.random.u8(0..8) == 0 => {
                Answer::NotFound(Failure::Final)
            }
            Wanted::Deletion => Answer::Deleted(self.server.is_softly_deleted()),
        };
        self.send(epoch, answer);
        if !self.is_lucky() {
            self.send(epoch, answer);
        }
    }

    pub fn pull(&mut self, epoch: Epoch) {
        let Some(connection) = self.connections.get_mut(&epoch).filter(|it| !it.is_cut) else { return };
        let Some(mut call) = connection.call.take() else { return };
        assert!(call.is_of(&self.server), "a call outlived its server");
        let (messages, failure) = call.pull(&self.server, &mut self.random);
        if let Some(connection) = self.connections.get_mut(&epoch) {
            connection.call = Some(call);
        }
        for message in messages {
            // some come twice
            let times = if self.is_lucky() { 1 } else { 2 };
            for _ in 0..times {
                match message {
                    Message::Event(record) => self.deliver(epoch, Happening::Event(epoch, record)),
                    Message::Other(answer) => self.send(epoch, answer),
                }
            }
        }
        let fails = !self.is_peace && self.random.u16(0..400) == 0;
        match failure.or(fails.then_some(Failure::Passing)) {
            Some(failure) => {
                self.send(epoch, Answer::Ended(failure));
                self.cut(epoch);
            }
            None => {
                let pause = Duration::from_millis(self.random.u64(1..300));
                self.plan(self.now + pause, Happening::Pull(epoch));
            }
        }
    }
}
