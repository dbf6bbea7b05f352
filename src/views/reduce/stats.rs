//! `_stats`: sum, count, least, greatest and sum of squares, of numbers or place by place of
//! arrays.
//!
//! A state is text: five numbers with commas between them, or states in brackets. A value that is
//! none of this fails the whole call.

use crate::views::ViewsError;

use super::print::{print, print_members, print_pretty};
use super::term::{Number, Term};
use super::{ReduceGroup, ReducedState};

const MEMBERS: [&str; 5] = ["sum", "count", "min", "max", "sumsqr"];

enum Stats {
    One([Number; 5]),
    List(Vec<Stats>),
}

fn invalid<T>(reason: String) -> Result<T, ViewsError> {
    Err(ViewsError::InvalidValue(reason))
}

fn not_numbers<T>(term: &Term) -> Result<T, ViewsError> {
    const TEXT: &str =
        "The _stats function requires that map values be numbers or arrays of numbers, not '";
    invalid(format!("{TEXT}{}'", print_pretty(term, TEXT.len())))
}

/// The state of rows.
pub fn reduce(group: &ReduceGroup<'_>) -> Result<ReducedState, ViewsError> {
    let mut stats: Option<Stats> = None;
    for row in &group.rows {
        let Some(value) = Term::parse(row.value) else {
            return invalid("The _stats function was given too deep a value.".to_owned());
        };
        stats = Some(match stats {
            None => match first(&value) {
                Err(_) if group.preceded && !matches!(value, Term::Object(_)) => {
                    return not_numbers(&value);
                }
                other => other?,
            },
            Some(stats) => add(value, stats)?,
        });
    }
    let mut out = String::new();
    stats.unwrap_or(Stats::One([Number::ZERO; 5])).write(&mut out);
    Ok(out.into_bytes())
}

/// The state that several stand for.
pub fn rereduce(states: &[&[u8]]) -> Result<ReducedState, ViewsError> {
    let mut states = states.iter().map(|state| Stats::read(state));
    let first = states.next().unwrap_or(Stats::One([Number::ZERO; 5]));
    let mut out = String::new();
    states.try_fold(first, |sum, stats| join(stats, sum))?.write(&mut out);
    Ok(out.into_bytes())
}

/// What clients see of a state.
pub fn finish(state: &[u8]) -> String {
    let mut out = String::new();
    Stats::read(state).term().write(&mut out);
    out
}

/// Whether states may be joined in any order with the same outcome: their numbers are integers.
pub fn is_integer(state: &[u8]) -> bool {
    state.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b','))
}

fn of_number(number: Number) -> Result<Stats, ViewsError> {
    let Some(square) = number.times(number) else { return too_large() };
    Ok(Stats::One([number, Number::ONE, number, number, square]))
}

fn too_large<T>() -> Result<T, ViewsError> {
    invalid("The _stats function met a number whose square is too large.".to_owned())
}

/// The stats that the first value begins with.
fn first(value: &Term) -> Result<Stats, ViewsError> {
    match value {
        Term::Number(number) => of_number(*number),
        Term::List(elements) => {
            Ok(Stats::List(elements.iter().map(first).collect::<Result<_, _>>()?))
        }
        Term::Object(members) => made_before(value, members),
        other => invalid(format!("non-numeric _stats input: {}", print(other))),
    }
}

/// Stats that the map function emits ready-made.
fn made_before(value: &Term, members: &[(String, Term)]) -> Result<Stats, ViewsError> {
    let mut numbers = [Number::ZERO; 5];
    for (number, name) in numbers.iter_mut().zip(MEMBERS) {
        *number = match value.member(name) {
            Some(Term::Number(number)) => *number,
            None => {
                let text = format!("user _stats input missing required field {name} (");
                let printed = print_members(members, text.len());
                return invalid(format!("{text}{printed})"));
            }
            Some(other) => {
                let printed = print(other);
                return invalid(format!("non-numeric _stats input received for {name}: {printed}"));
            }
        };
    }
    Ok(Stats::One(numbers))
}

fn add(value: Term, sum: Stats) -> Result<Stats, ViewsError> {
    match (value, sum) {
        (Term::List(values), Stats::List(sums)) => {
            if values.len() != sums.len() {
                return uneven();
            }
            let pairs = values.into_iter().zip(sums);
            Ok(Stats::List(pairs.map(|(value, sum)| add(value, sum)).collect::<Result<_, _>>()?))
        }
        (Term::Number(number), sum) => join(of_number(number)?, sum),
        (value @ Term::Object(_), sum) => join(first(&value)?, sum),
        (value, _) => not_numbers(&value),
    }
}

fn uneven<T>() -> Result<T, ViewsError> {
    invalid("The _stats function requires arrays of one length.".to_owned())
}

fn join(stats: Stats, sum: Stats) -> Result<Stats, ViewsError> {
    match (stats, sum) {
        (Stats::One(a), Stats::One(b)) => {
            let [a_sum, a_count, a_min, a_max, a_squares] = a;
            let [b_sum, b_count, b_min, b_max, b_squares] = b;
            let sums = (a_sum.plus(b_sum), a_count.plus(b_count), a_squares.plus(b_squares));
            let (Some(sum), Some(count), Some(squares)) = sums else { return too_large() };
            let min = if a_min.compare(b_min).is_le() { a_min } else { b_min };
            let max = if a_max.compare(b_max).is_ge() { a_max } else { b_max };
            Ok(Stats::One([sum, count, min, max, squares]))
        }
        (Stats::List(a), Stats::List(b)) => {
            if a.len() != b.len() {
                return uneven();
            }
            let pairs = a.into_iter().zip(b);
            Ok(Stats::List(pairs.map(|(a, b)| join(a, b)).collect::<Result<_, _>>()?))
        }
        (stats, _) => not_numbers(&stats.term()),
    }
}

impl Stats {
    fn write(&self, out: &mut String) {
        match self {
            Self::One(numbers) => {
                for (at, number) in numbers.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    number.write(out);
                }
            }
            Self::List(all) => {
                out.push('[');
                for (at, stats) in all.iter().enumerate() {
                    out.push_str(if at > 0 { ";" } else { "" });
                    stats.write(out);
                }
                out.push(']');
            }
        }
    }

    fn read(state: &[u8]) -> Self {
        let mut rest = std::str::from_utf8(state).unwrap_or_default();
        Self::read_next(&mut rest)
    }

    fn read_next(rest: &mut &str) -> Self {
        if let Some(inside) = rest.strip_prefix('[') {
            *rest = inside;
            let mut all = Vec::new();
            while !rest.is_empty() && !rest.starts_with(']') {
                all.push(Self::read_next(rest));
                *rest = rest.strip_prefix(';').unwrap_or(rest);
            }
            *rest = rest.strip_prefix(']').unwrap_or(rest);
            return Self::List(all);
        }
        let end = rest.find([';', ']']).unwrap_or(rest.len());
        let (texts, after) = rest.split_at(end);
        *rest = after;
        let mut numbers = [Number::ZERO; 5];
        for (number, text) in numbers.iter_mut().zip(texts.split(',')) {
            *number = Number::parse(text).unwrap_or(Number::ZERO);
        }
        Self::One(numbers)
    }

    fn term(&self) -> Term {
        match self {
            Self::One(numbers) => Term::Object(
                MEMBERS
                    .iter()
                    .zip(numbers)
                    .map(|(name, number)| ((*name).to_owned(), Term::Number(*number)))
                    .collect(),
            ),
            Self::List(all) => Term::List(all.iter().map(Self::term).collect()),
        }
    }
}
