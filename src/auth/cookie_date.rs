//! Dates as cookies and HTTP headers write them.

const DAY_NAMES: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [(&str, u64); 12] = [
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
    ("Jan", 31),
    ("Feb", 29),
];
const DAYS_PER_400_YEARS: u64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;

/// Unix seconds as `Sat, 21 Nov 2026 23:28:20 GMT`.
pub fn format(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = date(days);
    let index = usize::try_from(days % 7).unwrap_or_default();
    let day_name = DAY_NAMES.get(index).copied().unwrap_or_default();
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let second = second % 60;
    format!("{day_name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Counts in years that begin in March, so that the leap day is a year's last.
fn date(days_since_1970: u64) -> (u64, &'static str, u64) {
    let days = days_since_1970 + DAYS_TO_1970;
    let (era, day_of_era) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let mut day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mut year = era * 400 + year_of_era;
    for (number, (month, month_days)) in MONTHS.into_iter().enumerate() {
        if number == 10 {
            year += 1;
        }
        if day < month_days {
            return (year, month, day + 1);
        }
        day -= month_days;
    }
    (year, "Feb", 29)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        for (unix_s, expect) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (68_169_600, "Tue, 29 Feb 1972 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_795_303_700, "Sat, 21 Nov 2026 23:28:20 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(super::format(unix_s), expect);
        }
    }
}
