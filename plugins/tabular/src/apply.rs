//! Applying what was learned. A single row is the common case: nothing here depends on how many words were learned
//! but the search for one, and the indicators themselves.

use stagewright_stage::{ColumnType, Failure, Featurizer, Field, Reader, Series, Table, Values, state};

use crate::learn::{learn, word};
use crate::parameters::{Encode, Parameters};
use crate::state::{Learned, Number, Part, State, Words};

/// A fitted featurizer, and where its columns stand in the rows that it will see.
#[derive(Debug)]
pub struct Features {
    state: State,
    places: Vec<usize>,
    input: Vec<Field>,
    schema: Vec<Field>,
    label: Option<usize>,
}

impl Featurizer for Features {
    type Parameters = Parameters;
    const DOC: &'static str =
        "Features of a table: fills gaps, standardizes numbers, and encodes words with a bucket for rare ones.";

    fn fit(training: &mut Reader, parameters: Parameters) -> Result<Vec<u8>, Failure> {
        state::to_json(&learn(training, &parameters)?)
    }

    fn load(state: &[u8], input: &[Field]) -> Result<Self, Failure> {
        let state: State = state::from_json(state)?;
        if !state.is_sound() {
            return Err(Failure::invalid_state("the saved state contradicts itself: it is damaged"));
        }
        let mut places = Vec::new();
        for Learned { name, part } in &state.columns {
            let place = match input.iter().position(|field| field.name == *name) {
                Some(place) => place,
                // For the refusal that names the neighbour.
                None => return Err(Table::empty(input).column(name).err().unwrap_or_else(|| mistyped(name, part))),
            };
            let text = matches!(input[place].type_, ColumnType::Text | ColumnType::Category);
            if text != matches!(part, Part::Words(Words { codes: false, .. })) {
                return Err(mistyped(name, part));
            }
            places.push(place);
        }
        let label = state.label.as_ref().and_then(|label| input.iter().position(|field| field.name == *label));
        let schema = state.features().into_iter().chain(label.map(|place| input[place].clone())).collect();
        let input = places.iter().map(|place| input[*place].clone()).collect();
        Ok(Self { state, places, input, schema, label })
    }

    fn input(&self) -> Vec<Field> {
        self.input.clone()
    }

    fn schema(&self) -> Vec<Field> {
        self.schema.clone()
    }

    fn transform(&self, rows: &Table) -> Result<Table, Failure> {
        let mut features = Vec::with_capacity(self.schema.len());
        for (Learned { name, part }, place) in self.state.columns.iter().zip(&self.places) {
            let column = find(rows, *place, name)?;
            match part {
                Part::Number(number) => number.apply(column, &mut features)?,
                Part::Words(words) => {
                    let places = words.places(column, &self.state.missing);
                    match self.state.encode {
                        Encode::Category => features.push(words.category(name, &places)),
                        Encode::OneHot => words.indicators(&self.schema, &places, &mut features),
                    }
                }
            }
        }
        if let (Some(place), Some(name)) = (self.label, &self.state.label) {
            features.push(find(rows, place, name)?.clone());
        }
        Table::new(features)
    }
}

/// The column at its place, or wherever else it stands.
fn find<'a>(rows: &'a Table, place: usize, name: &str) -> Result<&'a Series, Failure> {
    match rows.columns().get(place) {
        Some(column) if column.name == name => Ok(column),
        _ => rows.column(name),
    }
}

fn mistyped(name: &str, part: &Part) -> Failure {
    let (is, was) = match part {
        Part::Words(Words { codes: false, .. }) => ("numbers", "text"),
        _ => ("text", "numbers"),
    };
    Failure::invalid_data(format!("column `{name}` holds {is}; it held {was} when the features were fitted"))
}

impl Number {
    /// Adds the number and, where it is wanted, the column that says where it was missing.
    fn apply(&self, column: &Series, features: &mut Vec<Series>) -> Result<(), Failure> {
        let name = &column.name;
        let values = column.numeric().ok_or_else(|| mistyped(name, &Part::Number(self.clone())))?;
        let mut values = values.into_owned();
        let missing = self.indicator.then(|| values.iter().map(|value| value.is_nan()).collect());
        let fill = self.fill.unwrap_or(f64::NAN);
        for (row, value) in values.iter_mut().enumerate() {
            let filled = if value.is_nan() { fill } else { *value };
            *value = (filled - self.centre) / self.divisor;
            if value.is_infinite() {
                return Err(Failure::invalid_data(format!(
                    "column `{name}` is too large or infinite in row {} of the batch",
                    row + 1
                )));
            }
        }
        features.push(Series::of_floats(name, values));
        features.extend(missing.map(|missing| Series::new(format!("{name}=missing"), Values::Boolean(missing))));
        Ok(())
    }
}

impl Words {
    /// For each row the place of its word; nothing for an unseen word without a bucket.
    fn places(&self, column: &Series, missing: &str) -> Vec<Option<u32>> {
        match &column.values {
            Values::Category { codes, words } if words.len() < codes.len() => {
                let known: Vec<Option<u32>> = words.iter().map(|word| self.place(word)).collect();
                let absent = self.place(missing);
                let place = |(row, code): (usize, &u32)| {
                    if column.has(row) { known.get(*code as usize).copied().flatten() } else { absent }
                };
                codes.iter().enumerate().map(place).collect()
            }
            _ => (0..column.len()).map(|row| self.place(word(column, row).as_deref().unwrap_or(missing))).collect(),
        }
    }

    /// A category column. It brings only the words that occur in it, so that a single row stays small.
    fn category(&self, name: &str, places: &[Option<u32>]) -> Series {
        let mut occurs = vec![false; self.words.len()];
        places.iter().flatten().for_each(|place| occurs[*place as usize] = true);
        let mut codes = vec![0; self.words.len()];
        let mut words = Vec::new();
        for place in (0..occurs.len()).filter(|place| occurs[*place]) {
            codes[place] = words.len() as u32;
            words.push(self.words[place].clone());
        }
        let valid = places.contains(&None).then(|| places.iter().map(Option::is_some).collect());
        let codes = places.iter().map(|place| place.map_or(0, |place| codes[place as usize])).collect();
        Series { name: name.to_owned(), values: Values::Category { codes, words }, valid }
    }

    /// A boolean column for each word, called as the schema says.
    fn indicators(&self, schema: &[Field], places: &[Option<u32>], features: &mut Vec<Series>) {
        let mut indicators = vec![vec![false; places.len()]; self.words.len()];
        for (row, place) in places.iter().enumerate() {
            if let Some(place) = place {
                indicators[*place as usize][row] = true;
            }
        }
        let start = features.len();
        let names = schema[start..].iter().map(|field| field.name.clone());
        features.extend(names.zip(indicators).map(|(name, yes)| Series::new(name, Values::Boolean(yes))));
    }
}
