//! Time: which instant does a source's text say?
//!
//! An instant is kept in microseconds; digits beyond are dropped.
//!
//! Local times have two gaps in their meaning, and one rule each: a time that the clocks skipped
//! in spring is moved on by what they skipped; a time that they showed twice in autumn is the
//! first of the two.
//! A format that reads an offset (`%z`) needs no rule and no zone.

use dataflows::{Day, EventTime};
use jiff::civil::Date;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

use super::number::{Style, decimal};

/// How a source writes instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, as in `2011-06-28T10:22:00Z`; it names its offset.
    Rfc3339,
    /// Seconds since the Unix epoch, with or without a fraction.
    UnixSeconds,
    /// Milliseconds since the Unix epoch.
    UnixMillis,
    /// Microseconds since the Unix epoch.
    UnixMicros,
    /// A pattern of `strptime`, as in `%d.%m.%Y %H:%M`; without a time of day it is midnight.
    Pattern(String),
}

/// Reads a source's instants.
#[derive(Clone, Debug)]
pub struct TimeReader {
    format: TimeFormat,
    /// Where local times are local.
    zone: TimeZone,
    /// The last text read and its instant: rows of one order share theirs.
    last: (String, EventTime),
}

impl TimeReader {
    /// A reader of `format`, whose local times are those of `zone`.
    #[must_use]
    pub fn new(format: TimeFormat, zone: TimeZone) -> TimeReader {
        TimeReader { format, zone, last: (String::new(), EventTime(0)) }
    }

    /// A reader of RFC 3339.
    #[must_use]
    pub fn rfc3339() -> TimeReader {
        TimeReader::new(TimeFormat::Rfc3339, TimeZone::UTC)
    }

    /// The instant that `text` says.
    ///
    /// # Errors
    ///
    /// The reason, in the words of a [`Refusal`](super::Refusal).
    pub fn read(&mut self, text: &str) -> Result<EventTime, &'static str> {
        if self.last.0 == text && !text.is_empty() {
            return Ok(self.last.1);
        }
        let at = match &self.format {
            TimeFormat::Rfc3339 => rfc3339(text)?,
            TimeFormat::UnixSeconds => unix(text, 6)?,
            TimeFormat::UnixMillis => unix(text, 3)?,
            TimeFormat::UnixMicros => unix(text, 0)?,
            TimeFormat::Pattern(pattern) => local(pattern, text, &self.zone)?,
        };
        self.last.0.clear();
        self.last.0.push_str(text);
        self.last.1 = at;
        Ok(at)
    }
}

/// The instant of an RFC 3339 text.
fn rfc3339(text: &str) -> Result<EventTime, &'static str> {
    match text.trim_ascii().parse::<Timestamp>() {
        Ok(time) => Ok(EventTime(time.as_microsecond())),
        Err(_) => Err("is not an RFC 3339 time with its offset, such as 2011-06-28T10:22:00Z"),
    }
}

/// The instant of a number of units since the epoch, of which `digits` decimals are kept.
fn unix(text: &str, digits: u8) -> Result<EventTime, &'static str> {
    let whole = text.find('.').unwrap_or(text.len());
    let kept = (whole + 1 + usize::from(digits)).min(text.len());
    let (Some(head), Some(tail)) = (text.get(..kept), text.get(kept..)) else {
        return Err("is not a Unix time");
    };
    if !tail.trim_ascii_end().bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a Unix time");
    }
    let micros = decimal(head, digits, Style::PLAIN).map_err(|_| "is not a Unix time")?;
    // The calendar ends where jiff's does, so that every instant can be shown.
    match Timestamp::from_microsecond(micros) {
        Ok(_) => Ok(EventTime(micros)),
        Err(_) => Err("lies outside the years -9999 to 9999"),
    }
}

/// The instant of a text that `pattern` reads.
fn local(pattern: &str, text: &str, zone: &TimeZone) -> Result<EventTime, &'static str> {
    let read = |text: &str| {
        let parts = strtime::parse(pattern, text.trim_ascii())?;
        if parts.offset().is_some() || parts.timestamp().is_some() {
            return parts.to_timestamp();
        }
        zone.to_ambiguous_timestamp(parts.to_datetime()?).compatible()
    };
    match read(text) {
        Ok(time) => Ok(EventTime(time.as_microsecond())),
        Err(_) => Err("does not have the format that the shop's file gives"),
    }
}

/// The day of a text such as `2011-06-28`.
///
/// # Errors
///
/// The reason, in the words of a [`Refusal`](super::Refusal).
pub fn day(text: &str) -> Result<Day, &'static str> {
    let wrong = "is not a day, such as 2011-06-28";
    let date: Date = text.trim_ascii().parse().map_err(|_| wrong)?;
    let since = date.since((Unit::Day, Date::constant(1970, 1, 1))).map_err(|_| wrong)?;
    Ok(Day(since.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: TimeFormat, zone: &str, text: &str) -> Result<EventTime, &'static str> {
        TimeReader::new(format, TimeZone::get(zone).unwrap()).read(text)
    }

    fn london(text: &str) -> Result<EventTime, &'static str> {
        read(TimeFormat::Pattern("%Y-%m-%d %H:%M:%S".into()), "Europe/London", text)
    }

    fn utc(text: &str) -> EventTime {
        TimeReader::rfc3339().read(text).unwrap()
    }

    #[test]
    fn local_times_follow_their_zone() {
        assert_eq!(london("2011-06-28 11:22:00"), Ok(utc("2011-06-28T10:22:00Z")));
        assert_eq!(london("2010-12-01 08:26:00"), Ok(utc("2010-12-01T08:26:00Z")));
    }

    #[test]
    fn a_skipped_time_moves_on_and_a_doubled_time_is_the_first() {
        assert_eq!(london("2011-03-27 01:30:00"), Ok(utc("2011-03-27T01:30:00Z")));
        assert_eq!(london("2010-10-31 01:30:00"), Ok(utc("2010-10-31T00:30:00Z")));
    }

    #[test]
    fn a_date_alone_is_midnight() {
        let date = |text| read(TimeFormat::Pattern("%Y%m%d".into()), "America/New_York", text);
        assert_eq!(date("19970101"), Ok(utc("1997-01-01T05:00:00Z")));
        assert!(date("19970231").is_err());
    }

    #[test]
    fn an_offset_in_the_text_is_kept() {
        let format = TimeFormat::Pattern("%Y-%m-%dT%H:%M:%S%z".into());
        assert_eq!(
            read(format, "Asia/Tokyo", "2020-01-01T00:00:00+0100"),
            Ok(utc("2019-12-31T23:00:00Z"))
        );
    }

    #[test]
    fn unix_times_have_three_units() {
        let seconds = |text| read(TimeFormat::UnixSeconds, "UTC", text);
        assert_eq!(seconds("1593536687.0"), Ok(utc("2020-06-30T17:04:47Z")));
        assert_eq!(seconds("1396438212.3189999"), Ok(EventTime(1_396_438_212_318_999)));
        assert_eq!(seconds("1396438212.31899x9"), Err("is not a Unix time"));
        assert_eq!(seconds("999999999999"), Err("lies outside the years -9999 to 9999"));
        assert_eq!(read(TimeFormat::UnixMillis, "UTC", "1500"), Ok(EventTime(1_500_000)));
        assert_eq!(read(TimeFormat::UnixMicros, "UTC", "1500"), Ok(EventTime(1500)));
        assert_eq!(seconds("é"), Err("is not a Unix time"));
    }

    #[test]
    fn rfc_3339_needs_its_offset() {
        assert!(TimeReader::rfc3339().read("2011-06-28T10:22:00").is_err());
        assert_eq!(utc("2011-06-28T10:22:00.1234567+01:00"), EventTime(1_309_252_920_123_456));
    }

    #[test]
    fn days_count_from_the_epoch() {
        assert_eq!(day("1970-01-02"), Ok(Day(1)));
        assert_eq!(day("1969-12-31"), Ok(Day(-1)));
        assert!(day("2011-02-29").is_err());
    }
}
