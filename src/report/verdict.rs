//! What the numbers say, in two sentences.
//!
//! Invariant: nothing is called better that the test does not find better; where it finds nothing, the
//! smallest difference that it could have found is named.

use dense_eval::{ComparedLanguage, Comparison};

use super::tables::{p_value, plain, signed};
use super::{ALPHA, Findings};

impl Findings<'_> {
    /// The verdict on the first pair by the first measure; with one system, its score.
    pub(super) fn verdict(&self) -> [String; 2] {
        match self.main() {
            Some(versus) => {
                let (first, second) = (self.name(versus.first), self.name(versus.second));
                [
                    Counts::of(&versus.comparison).sentence(first, second),
                    average(&versus.comparison, first, second),
                ]
            }
            None => self.alone(),
        }
    }

    fn alone(&self) -> [String; 2] {
        let measured = self.measure().and_then(|measure| {
            let mean = self.mean(0, &measure.to_string())?;
            let languages = match self.rows.len() {
                1 => String::new(),
                count => format!(" on average over {count} languages"),
            };
            Some(format!("{} reaches {measure} {}{languages}.", self.name(0), plain(mean)))
        });
        [
            measured.unwrap_or_else(|| "Nothing was measured in all languages.".to_owned()),
            "There is no second system to compare it with.".to_owned(),
        ]
    }
}

/// In how many languages which system is ahead.
struct Counts {
    languages: usize,
    wins: usize,
    losses: usize,
    sure_wins: usize,
    sure_losses: usize,
    mean_is_sure: bool,
    mean_is_ahead: bool,
}

impl Counts {
    fn of(comparison: &Comparison) -> Self {
        let count = |is: &dyn Fn(&ComparedLanguage) -> bool| {
            comparison.languages.iter().filter(|row| is(row)).count()
        };
        Self {
            languages: comparison.languages.len(),
            wins: count(&|row| row.difference > 0.0),
            losses: count(&|row| row.difference < 0.0),
            sure_wins: count(&|row| row.difference > 0.0 && row.p < ALPHA),
            sure_losses: count(&|row| row.difference < 0.0 && row.p < ALPHA),
            mean_is_sure: comparison.mean.p < ALPHA,
            mean_is_ahead: comparison.mean.difference > 0.0,
        }
    }

    /// Seen from the system that is ahead, so that the sentence speaks of it.
    fn turned(self) -> Self {
        Self {
            wins: self.losses,
            losses: self.wins,
            sure_wins: self.sure_losses,
            sure_losses: self.sure_wins,
            mean_is_ahead: true,
            ..self
        }
    }

    fn sentence(self, first: &str, second: &str) -> String {
        if !self.mean_is_sure {
            return self.undecided(first, second);
        }
        let (ahead, behind) = if self.mean_is_ahead { (second, first) } else { (first, second) };
        let counts = if self.mean_is_ahead { self } else { self.turned() };
        let Self { languages, wins, sure_wins, sure_losses, .. } = counts;
        let test = format!("two-sided paired randomization test, p < {ALPHA}");
        if languages == 1 {
            return format!("{ahead} ranks better than {behind} ({test}).");
        }
        let everywhere = match (sure_wins, sure_losses) {
            (0, 0) => " on average",
            (_, 0) => "",
            _ => " on average, but not everywhere",
        };
        let sure_wins = if sure_wins == 0 { "none".to_owned() } else { sure_wins.to_string() };
        let but = match sure_losses {
            0 => String::new(),
            _ => format!("; {behind} is significantly better in {sure_losses}"),
        };
        format!(
            "{ahead} ranks better than {behind}{everywhere}: it is ahead in {wins} of {languages} \
             languages, significantly in {sure_wins}{but} ({test}, Holm-corrected over the \
             languages)."
        )
    }

    fn undecided(&self, first: &str, second: &str) -> String {
        let Self { languages, wins, losses, sure_wins, sure_losses, .. } = *self;
        let told = format!("On average, {first} and {second} cannot be told apart");
        if languages == 1 {
            return format!(
                "{first} and {second} cannot be told apart (two-sided paired randomization test)."
            );
        }
        format!(
            "{told}: {second} is ahead in {wins} of {languages} languages, significantly in \
             {sure_wins}, and {first} in {losses}, significantly in {sure_losses} (two-sided paired \
             randomization test, p < {ALPHA}, Holm-corrected over the languages)."
        )
    }
}

fn average(comparison: &Comparison, first: &str, second: &str) -> String {
    let mean = &comparison.mean;
    let [low, high] = mean.interval.map(signed);
    let over = match comparison.languages.len() {
        1 => "",
        _ => "on average ",
    };
    let (measure, difference) = (comparison.measure, signed(mean.difference));
    let p = if mean.p < 0.001 { p_value(mean.p) } else { format!("= {}", p_value(mean.p)) };
    let told = format!(
        "{measure} is {over}{} with {second} and {} with {first}, a difference of {difference} (95 % \
         interval {low} to {high}, p {p})",
        plain(mean.second),
        plain(mean.first),
    );
    match detectable(comparison) {
        None => format!("{told}."),
        Some(least) if comparison.languages.len() == 1 => {
            format!("{told}; differences below {} would mostly have gone unseen.", plain(least))
        }
        Some(least) => format!(
            "{told}; within a single language, differences below {} (the median over languages) \
             would mostly have gone unseen.",
            plain(least)
        ),
    }
}

/// The median over languages of the smallest difference that the topics could have shown.
fn detectable(comparison: &Comparison) -> Option<f64> {
    let mut all: Vec<f64> = comparison.languages.iter().filter_map(|row| row.detectable).collect();
    all.sort_by(f64::total_cmp);
    let upper = all.get(all.len() / 2)?;
    let lower = all.get((all.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}
