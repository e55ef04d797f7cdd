//! Labels of more than two classes, and the predictions of classifiers that tell them apart.

use serde::{Deserialize, Serialize};

use crate::label::{Class, whole};
use crate::{ColumnType, Failure, Field, Series, Table, Values};

/// The classes of a label, in order, all of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Several(pub Vec<Class>);

impl Several {
    /// Reads a label: its classes, and for each row which. Refuses missing values and more than `most` classes.
    pub fn read(column: &Series, most: usize) -> Result<(Self, Vec<usize>), Failure> {
        whole(column)?;
        let (classes, codes) = match &column.values {
            Values::Boolean(values) => (
                vec![Class::Boolean(false), Class::Boolean(true)],
                values.iter().map(|value| usize::from(*value)).collect(),
            ),
            Values::Int64(values) => distinct(values, i64::cmp, |value| Class::Integer(*value)),
            Values::Float64(values) => {
                // Adding 0 takes the sign off a negative zero: one class, not two.
                let values: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
                distinct(&values, f64::total_cmp, |value| Class::Number(*value))
            }
            Values::Text(_) | Values::Category { .. } => {
                let words: Vec<&str> = (0..column.len()).map(|row| column.word(row).unwrap_or_default()).collect();
                distinct(&words, Ord::cmp, |word| Class::Word((*word).to_owned()))
            }
            Values::Timestamp(_) => {
                let name = &column.name;
                return Err(Failure::invalid_data(format!("the label `{name}` is a point in time, not a class")));
            }
        };
        if classes.len() > most {
            return Err(Failure::invalid_data(format!(
                "the label `{}` has {} classes, and this trainer takes {most}: is it a number to predict?",
                column.name,
                classes.len()
            )));
        }
        Ok((Self(classes), codes))
    }

    /// The columns of predictions: the probability of each class, `score-CLASS`, and the most probable one, `prediction`.
    pub fn schema(&self) -> Vec<Field> {
        let kind = match self.0.first() {
            Some(Class::Boolean(_)) => ColumnType::Boolean,
            Some(Class::Integer(_)) => ColumnType::Int64,
            Some(Class::Number(_)) => ColumnType::Float64,
            Some(Class::Word(_)) | None => ColumnType::Category,
        };
        let field = |name, type_| Field { name, type_, nullable: false };
        let scores = self.0.iter().map(|class| field(format!("score-{class}"), ColumnType::Float64));
        scores.chain([field("prediction".to_owned(), kind)]).collect()
    }

    /// Predictions from one column of probabilities for each class.
    pub fn predictions(&self, scores: Vec<Vec<f64>>) -> Result<Table, Failure> {
        let rows = scores.first().map_or(0, Vec::len);
        let best = |row: usize| {
            let mut best = 0;
            for class in 1..scores.len() {
                if scores[class][row] > scores[best][row] {
                    best = class;
                }
            }
            best
        };
        let chosen: Vec<usize> = (0..rows).map(best).collect();
        let mixed = || Failure::invalid_state("the classes are of different types");
        let values = match self.0.first() {
            Some(Class::Boolean(_)) => Values::Boolean(self.each(&chosen, |class| match class {
                Class::Boolean(value) => Some(*value),
                _ => None,
            })?),
            Some(Class::Integer(_)) => Values::Int64(self.each(&chosen, |class| match class {
                Class::Integer(value) => Some(*value),
                _ => None,
            })?),
            Some(Class::Number(_)) => Values::Float64(self.each(&chosen, |class| match class {
                Class::Number(value) => Some(*value),
                _ => None,
            })?),
            _ => {
                let word = |class: &Class| match class {
                    Class::Word(word) => Some(word.clone()),
                    _ => None,
                };
                let words = self.0.iter().map(word).collect::<Option<Vec<_>>>().ok_or_else(mixed)?;
                Values::Category { codes: chosen.iter().map(|class| *class as u32).collect(), words }
            }
        };
        let mut columns: Vec<Series> = self
            .0
            .iter()
            .zip(scores)
            .map(|(class, scores)| Series::of_floats(format!("score-{class}"), scores))
            .collect();
        columns.push(Series::new("prediction", values));
        Table::new(columns)
    }

    fn each<T: Clone>(&self, chosen: &[usize], value: impl Fn(&Class) -> Option<T>) -> Result<Vec<T>, Failure> {
        let values: Option<Vec<T>> = self.0.iter().map(value).collect();
        let values = values.ok_or_else(|| Failure::invalid_state("the classes are of different types"))?;
        Ok(chosen.iter().map(|class| values[*class].clone()).collect())
    }
}

fn distinct<Value: Clone>(
    values: &[Value],
    order: impl Fn(&Value, &Value) -> std::cmp::Ordering,
    class: impl Fn(&Value) -> Class,
) -> (Vec<Class>, Vec<usize>) {
    let mut sorted = values.to_vec();
    sorted.sort_by(&order);
    sorted.dedup_by(|left, right| order(left, right).is_eq());
    let code = |value| sorted.binary_search_by(|other| order(other, value)).unwrap_or_default();
    (sorted.iter().map(class).collect(), values.iter().map(code).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_stand_in_order_and_predictions_name_the_most_probable() {
        let label = Series::of_texts("kind", ["b", "c", "a", "b"].map(Some));
        let (several, codes) = Several::read(&label, 10).unwrap();
        assert_eq!(codes, [1, 2, 0, 1]);
        assert!(Several::read(&label, 2).is_err());
        let table = several.predictions(vec![vec![0.2, 0.1], vec![0.5, 0.1], vec![0.3, 0.8]]).unwrap();
        assert_eq!(table.fields(), several.schema());
        let prediction = table.column("prediction").unwrap();
        assert_eq!((prediction.word(0), prediction.word(1)), (Some("b"), Some("c")));
        assert_eq!(table.numeric("score-c").unwrap().as_ref(), [0.3, 0.8]);
    }

    #[test]
    fn numbers_are_classes_too_and_a_negative_zero_is_none_of_its_own() {
        let label = Series::of_floats("kind", vec![1.5, -0.0, 0.0, -2.0]);
        let (several, codes) = Several::read(&label, 10).unwrap();
        assert_eq!(several.0, [-2.0, 0.0, 1.5].map(Class::Number));
        assert_eq!(codes, [2, 1, 1, 0]);
    }
}
