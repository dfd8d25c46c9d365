//! RFC 3339 timestamps in UTC with milliseconds, written without allocating.

use std::time::{SystemTime, UNIX_EPOCH};

/// Remembers the text of the last second: of many lines in a second only the first works it out.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: u64,
    /// `2026-11-24T22:15:23.`; empty before the first use.
    text: Vec<u8>,
}

impl Clock {
    /// Appends `2026-11-24T22:15:23.409Z`. A time before 1970 is written as 1970.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs();
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            write_second(&mut self.text, second);
        }
        out.extend_from_slice(&self.text);
        digits(out, u64::from(since.subsec_millis()), 3);
        out.push(b'Z');
    }
}

fn write_second(out: &mut Vec<u8>, seconds: u64) {
    let (year, month, day) = civil(seconds / 86_400);
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, seconds / 3600 % 24, 2);
    out.push(b':');
    digits(out, seconds / 60 % 60, 2);
    out.push(b':');
    digits(out, seconds % 60, 2);
    out.push(b'.');
}

/// Year, month and day of a count of days since 1970-01-01, by the Gregorian calendar. Years are counted from
/// March, so that the leap day is the last of a year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn digits(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_u64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).expect("a digit is below 10"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn agrees_with_jiff() {
        let mut clock = Clock::default();
        for millis in
            [0, 951_782_400_409, 951_868_799_999, 951_868_799_001, 1_764_022_523_050, 4_102_444_800_000, 1]
        {
            let mut out = Vec::new();
            clock.write(&mut out, UNIX_EPOCH + Duration::from_millis(millis));
            let expected = jiff::Timestamp::from_millisecond(millis as i64).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected:.3}"));
        }
    }
}
