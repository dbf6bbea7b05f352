//! Dates as HTTP headers write them (`Date`, `Expires`, `Last-Modified`; RFC 9110, 5.6.7), and as
//! JSON does (RFC 3339).
//!
//! Pure: the caller says what time it is.

const SECONDS_A_DAY: u64 = 86_400;
const DAYS_IN_400_YEARS: u64 = 146_097;
/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_BEFORE_EPOCH: u64 = 719_468;

/// The time `unix_seconds` after 1970 as `Sun, 22 Nov 2026 01:14:25 GMT`.
#[must_use]
pub fn http_date(unix_seconds: u64) -> String {
    let days = unix_seconds / SECONDS_A_DAY;
    let second = unix_seconds % SECONDS_A_DAY;
    let (year, month, day) = civil_date(days);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        weekday_name(days),
        month_name(month),
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// The time `unix_seconds` after 1970 as `2026-11-22T01:14:25Z` (RFC 3339).
#[must_use]
pub fn iso_date(unix_seconds: u64) -> String {
    let (year, month, day) = civil_date(unix_seconds / SECONDS_A_DAY);
    let second = unix_seconds % SECONDS_A_DAY;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Year, month (1-12) and day (1-31) of the Gregorian calendar. The year is taken to begin in
/// March, so that the leap day is its last day and months have a regular length.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + DAYS_BEFORE_EPOCH;
    let era = days / DAYS_IN_400_YEARS;
    let day_of_era = days % DAYS_IN_400_YEARS;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn weekday_name(days_since_1970: u64) -> &'static str {
    match days_since_1970 % 7 {
        0 => "Thu",
        1 => "Fri",
        2 => "Sat",
        3 => "Sun",
        4 => "Mon",
        5 => "Tue",
        _ => "Wed",
    }
}

fn month_name(month: u64) -> &'static str {
    match month {
        1 => "Jan",
        2 => "Feb",
        3 => "Mar",
        4 => "Apr",
        5 => "May",
        6 => "Jun",
        7 => "Jul",
        8 => "Aug",
        9 => "Sep",
        10 => "Oct",
        11 => "Nov",
        _ => "Dec",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let table = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_795_310_065, "Sun, 22 Nov 2026 01:14:25 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, expect) in table {
            assert_eq!(http_date(seconds), expect);
        }
    }

    /// Far years must not overflow: the clock of a virtual machine may say anything.
    #[test]
    fn the_end_of_time_is_a_date() {
        assert!(http_date(u64::MAX).ends_with(" GMT"));
    }

    /// Counting day by day over a whole calendar cycle gives the same dates.
    #[test]
    fn every_day_of_four_centuries() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..DAYS_IN_400_YEARS {
            assert_eq!(civil_date(days), (year, month, day), "day {days}");
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
