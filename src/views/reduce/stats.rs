//! `_stats`: sum, count, least, greatest and sum of squares, of numbers or place by place of
//! arrays.
//!
//! A state is a byte that tells its kind and then five numbers, or a count and so many states. A
//! value that is neither a number nor a list of such fails the whole call.

use crate::views::ViewsError;

use super::print::{print, print_members, print_pretty};
use super::term::{Number, Term};
use super::{ReduceGroup, ReducedState};

/// What a state begins with.
const ONE: u8 = 1;
const LIST: u8 = 2;

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
        if let Some(number) = Number::of_json(row.value)
            && let Some(Stats::One(sum)) = &mut stats
        {
            *sum = joined(&numbers_of(number)?, sum)?;
            continue;
        }
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
    Ok(stats.unwrap_or(Stats::One([Number::ZERO; 5])).encode())
}

/// The state that several stand for.
pub fn rereduce(states: &[&[u8]]) -> Result<ReducedState, ViewsError> {
    let mut states = states.iter().map(|state| Stats::decode(state));
    let mut sum = states.next().unwrap_or(Stats::One([Number::ZERO; 5]));
    for stats in states {
        sum = match (&stats, &sum) {
            (Stats::One(stats), Stats::One(sum)) => Stats::One(joined(stats, sum)?),
            _ => join(stats, sum)?,
        };
    }
    Ok(sum.encode())
}

/// What clients see of a state.
pub fn finish(state: &[u8]) -> String {
    let mut out = String::new();
    Stats::decode(state).write(&mut out);
    out
}

/// Whether states may be joined in any order with the same outcome: their numbers are integers.
pub fn is_integer(state: &[u8]) -> bool {
    match Stats::decode(state) {
        Stats::One(numbers) => numbers.iter().all(|number| matches!(number, Number::Integer(_))),
        Stats::List(_) => false,
    }
}

fn numbers_of(number: Number) -> Result<[Number; 5], ViewsError> {
    let Some(square) = number.times(number) else { return too_large() };
    Ok([number, Number::ONE, number, number, square])
}

fn of_number(number: Number) -> Result<Stats, ViewsError> {
    numbers_of(number).map(Stats::One)
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

fn joined(a: &[Number; 5], b: &[Number; 5]) -> Result<[Number; 5], ViewsError> {
    let [a_sum, a_count, a_min, a_max, a_squares] = *a;
    let [b_sum, b_count, b_min, b_max, b_squares] = *b;
    let sums = (a_sum.plus(b_sum), a_count.plus(b_count), a_squares.plus(b_squares));
    let (Some(sum), Some(count), Some(squares)) = sums else { return too_large() };
    let min = if a_min.compare(b_min).is_le() { a_min } else { b_min };
    let max = if a_max.compare(b_max).is_ge() { a_max } else { b_max };
    Ok([sum, count, min, max, squares])
}

fn join(stats: Stats, sum: Stats) -> Result<Stats, ViewsError> {
    match (stats, sum) {
        (Stats::One(a), Stats::One(b)) => joined(&a, &b).map(Stats::One),
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
    fn encode(&self) -> ReducedState {
        let mut out = Vec::with_capacity(46);
        self.encode_to(&mut out);
        out
    }

    fn encode_to(&self, out: &mut ReducedState) {
        match self {
            Self::One(numbers) => {
                out.push(ONE);
                for number in numbers {
                    number.encode_to(out);
                }
            }
            Self::List(all) => {
                out.push(LIST);
                out.extend_from_slice(&(all.len() as u64).to_be_bytes());
                for stats in all {
                    stats.encode_to(out);
                }
            }
        }
    }

    /// Of bytes that are no state as much as there is.
    fn decode(mut state: &[u8]) -> Self {
        Self::decode_next(&mut state)
    }

    fn decode_next(rest: &mut &[u8]) -> Self {
        let Some((tag, after)) = rest.split_first() else { return Self::One([Number::ZERO; 5]) };
        *rest = after;
        if *tag != LIST {
            return Self::One([(); 5].map(|()| Number::decode(rest).unwrap_or(Number::ZERO)));
        }
        let Some((count, after)) = rest.split_first_chunk() else { return Self::List(Vec::new()) };
        *rest = after;
        let mut all = Vec::new();
        for _ in 0..u64::from_be_bytes(*count) {
            if rest.is_empty() {
                break;
            }
            all.push(Self::decode_next(rest));
        }
        Self::List(all)
    }

    /// Writes what clients see.
    fn write(&self, out: &mut String) {
        match self {
            Self::One(numbers) => {
                for (at, (name, number)) in MEMBERS.iter().zip(numbers).enumerate() {
                    out.push_str(if at > 0 { ",\"" } else { "{\"" });
                    out.push_str(name);
                    out.push_str("\":");
                    number.write(out);
                }
                out.push('}');
            }
            Self::List(all) => {
                out.push('[');
                for (at, stats) in all.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    stats.write(out);
                }
                out.push(']');
            }
        }
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
