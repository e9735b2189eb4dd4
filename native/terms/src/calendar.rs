//! A server's ticks as calendar and clock.

const TICKS_PER_MICROSECOND: u64 = 10;
const MICROSECONDS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// A time in UTC, in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The year of the Gregorian calendar.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
    /// 0 to 999999.
    pub microsecond: u64,
}

impl Created {
    /// The last tick of the year 9999, where calendars end.
    pub const LAST_TICKS: u64 = 2_534_023_007_999_999_999;

    /// The time at so many ticks of 100 ns since 1970.
    pub fn from_ticks(ticks: u64) -> Self {
        let microseconds = ticks / TICKS_PER_MICROSECOND;
        let seconds = microseconds / MICROSECONDS_PER_SECOND;
        let (year, month, day) = date(seconds / SECONDS_PER_DAY);
        Self {
            year,
            month,
            day,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            microsecond: microseconds % MICROSECONDS_PER_SECOND,
        }
    }
}

/// Year, month and day, so many days after the first of January 1970.
///
/// Counted in years that begin in March, so that the leap day is the last day of its year.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;
    let days = days + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{Created, date};

    #[test]
    fn ticks_of_a_real_server_are_the_second_they_were_taken_in() {
        let created = Created::from_ticks(17_953_890_257_052_301);
        let expected = Created {
            year: 2026,
            month: 11,
            day: 22,
            hour: 23,
            minute: 10,
            second: 25,
            microsecond: 705_230,
        };
        assert_eq!(created, expected);
        assert!(Created::from_ticks(u64::MAX).year > 50_000);
    }

    #[test]
    fn the_last_tick_is_the_end_of_the_year_9999() {
        let last = Created::from_ticks(Created::LAST_TICKS);
        assert_eq!((last.year, last.month, last.day, last.microsecond), (9999, 12, 31, 999_999));
        assert_eq!(Created::from_ticks(Created::LAST_TICKS + 1).year, 10_000);
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let is_leap =
            |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..300_000 {
            assert_eq!(date(days), (year, month, day));
            let length = match month {
                2 => 28 + u64::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
