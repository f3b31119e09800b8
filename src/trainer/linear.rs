//! A linear head over a frozen encoder: one matrix after pooling, trained without ONNX Runtime on vectors that are made
//! once.
//!
//! It is what the grid of ratios is run with on a processor, and the loop's own test: a step is a few matrix products.
//!
//! Invariant: an untrained head is the identity, so its vectors are the encoder's.

use std::sync::{Arc, Mutex, PoisonError};

use dense_plugin::{Role, Text};
use ndarray::{Array2, ArrayView2, Zip};
use serde::{Deserialize, Serialize};

use super::batch::{Batch, BatchKind, BatchText};
use super::focus::focused;
use super::loss::{LossOptions, contrastive, kept, toward};
use super::train_step::{Numbers, StepError, StepReport, Tensor, TrainStep};
use super::vectors::CachedVectors;
use crate::model::HeadFile;

/// Adam's means forget the past at these rates. Source: Kingma and Ba, "Adam" (2014).
const FORGET: [f64; 2] = [0.9, 0.999];

/// Keeps a step finite where a gradient was 0 all along.
const EPSILON: f64 = 1e-8;

/// How a head is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearOptions {
    /// The contrastive loss.
    pub loss: LossOptions,
    /// The share of the way back to the identity that each step goes, times the learning rate.
    pub decay: f64,
    /// The longest that a gradient may be; a longer one is cut to it.
    pub max_gradient: f64,
    /// Weight of how far passages are from the untrained vector of their English wording.
    pub english: f64,
    /// Weight of how far cosines in a monolingual batch are from the untrained ones.
    pub keep: f64,
}

impl Default for LinearOptions {
    /// The default loss, decay .01, gradients of at most 1, no distillation.
    fn default() -> Self {
        Self {
            loss: LossOptions::default(),
            decay: 0.01,
            max_gradient: 1.0,
            english: 0.0,
            keep: 0.0,
        }
    }
}

/// The head, with its optimizer.
#[derive(Debug)]
pub struct LinearHead {
    vectors: Arc<Mutex<CachedVectors>>,
    options: LinearOptions,
    /// `[dim out, dim in]`.
    weight: Array2<f64>,
    /// Adam's means of the gradient and of its square.
    means: [Array2<f64>; 2],
    steps: i32,
}

impl LinearHead {
    /// An untrained head. Several may share vectors.
    pub fn new(vectors: Arc<Mutex<CachedVectors>>, options: LinearOptions) -> Self {
        let dim = vectors.lock().unwrap_or_else(PoisonError::into_inner).encoder().dim().get();
        let zeros = || Array2::zeros((dim, dim));
        Self { vectors, options, weight: Array2::eye(dim), means: [zeros(), zeros()], steps: 0 }
    }

    /// The matrix, `[dim out, dim in]`: a text's vector is its product with the encoder's, brought to length 1.
    pub fn weight(&self) -> ArrayView2<'_, f64> {
        self.weight.view()
    }

    fn frozen(&self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f64>, StepError> {
        let mut vectors = self.vectors.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = vectors.of(role, texts).map_err(|error| StepError::Model(error.into()))?;
        Ok(rows.mapv(f64::from))
    }

    /// The loss, and its gradient by the matrix.
    fn loss(&self, batch: &Batch<'_>) -> Result<(f64, Array2<f64>), StepError> {
        let queries = self.frozen(Role::Query, &texts(&batch.queries))?;
        let passages = self.frozen(Role::Passage, &texts(&batch.passages))?;
        let [q, p] = [&queries, &passages].map(|frozen| frozen.dot(&self.weight.t()));
        let mut loss = contrastive(q.view(), p.view(), &batch.allowed, &self.options.loss)?;
        let LinearOptions { english, keep, .. } = self.options;
        if keep > 0.0 && matches!(batch.kind, BatchKind::Mono(_)) {
            // The encoder's vectors have length 1, so their products are cosines.
            let were = queries.dot(&passages.t());
            let more = kept(q.view(), p.view(), were.view())?;
            loss.value += keep * more.value;
            loss.queries.scaled_add(keep, &more.queries);
            loss.passages.scaled_add(keep, &more.passages);
        }
        if english > 0.0 {
            let n = batch.queries.len();
            let wordings: Vec<Text<'_>> =
                batch.english.iter().flatten().map(|text| (*text).into()).collect();
            let has: Vec<bool> = batch.english.iter().map(Option::is_some).collect();
            let mut found = self.frozen(Role::Passage, &wordings)?.into_iter();
            let dim = p.ncols();
            let targets = Array2::from_shape_fn((n, dim), |(row, _)| {
                if has[row] { found.next().unwrap_or(0.0) } else { 0.0 }
            });
            let own = p.slice(ndarray::s![..n, ..]);
            let (value, gradient) = toward(own, targets.view(), &has)?;
            loss.value += english * value;
            loss.passages.slice_mut(ndarray::s![..n, ..]).scaled_add(english, &gradient);
        }
        Ok((loss.value, loss.queries.t().dot(&queries) + loss.passages.t().dot(&passages)))
    }
}

fn texts<'a>(texts: &[BatchText<'a>]) -> Vec<Text<'a>> {
    texts.iter().map(|text| (*text).into()).collect()
}

impl TrainStep for LinearHead {
    fn step(&mut self, batch: &Batch<'_>, learning_rate: f64) -> Result<StepReport, StepError> {
        let encoder = {
            let vectors = self.vectors.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(vectors.encoder())
        };
        let batch =
            focused(batch, encoder.as_ref()).map_err(|error| StepError::Model(error.into()))?;
        let (loss, mut gradient) = self.loss(&batch)?;
        let length = gradient.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > self.options.max_gradient {
            gradient *= self.options.max_gradient / length;
        }
        self.steps = self.steps.saturating_add(1);
        let [first, second] = FORGET.map(|forget| 1.0 - forget.powi(self.steps));
        let decay = learning_rate * self.options.decay;
        let [mean, square] = &mut self.means;
        Zip::indexed(&mut self.weight).and(mean).and(square).and(&gradient).for_each(
            |(row, column), weight, mean, square, &by| {
                *mean = FORGET[0] * *mean + (1.0 - FORGET[0]) * by;
                *square = FORGET[1] * *square + (1.0 - FORGET[1]) * by * by;
                *weight -= decay * (*weight - f64::from(u8::from(row == column)));
                *weight -= learning_rate * (*mean / first) / ((*square / second).sqrt() + EPSILON);
            },
        );
        Ok(StepReport { loss, gradient: length, tokens: 0 })
    }

    #[expect(clippy::cast_possible_truncation, reason = "vectors have 32 bits")]
    fn embed(&mut self, role: Role, texts: &[Text<'_>]) -> Result<Array2<f32>, StepError> {
        let mut vectors = self.frozen(role, texts)?.dot(&self.weight.t());
        for mut row in vectors.rows_mut() {
            let length = row.dot(&row).sqrt();
            if length > 0.0 {
                row /= length;
            }
        }
        Ok(vectors.mapv(|x| x as f32))
    }

    fn state(&mut self) -> Result<Vec<Tensor>, StepError> {
        let parts =
            [("weight", &self.weight), ("mean", &self.means[0]), ("square", &self.means[1])];
        let tensor = |(name, numbers): (&str, &Array2<f64>)| Tensor {
            name: format!("linear.{name}"),
            dims: numbers.shape().to_vec(),
            numbers: Numbers::F64(numbers.iter().copied().collect()),
        };
        Ok(parts.into_iter().map(tensor).collect())
    }

    fn restore(&mut self, steps: u64, state: &[Tensor]) -> Result<(), StepError> {
        let other = |what: String| StepError::State { what };
        let part = |name: &str| {
            let name = format!("linear.{name}");
            let tensor = state.iter().find(|tensor| tensor.name == name);
            let tensor = tensor.ok_or_else(|| other(format!("it has no `{name}`")))?;
            let Numbers::F64(numbers) = &tensor.numbers else {
                return Err(other(format!("`{name}` is not of 64 bits")));
            };
            if tensor.dims != self.weight.shape() {
                return Err(other(format!("`{name}` has dims {:?}", tensor.dims)));
            }
            Array2::from_shape_vec(self.weight.dim(), numbers.clone())
                .map_err(|error| other(format!("`{name}`: {error}")))
        };
        let (weight, means) = (part("weight")?, [part("mean")?, part("square")?]);
        self.steps = i32::try_from(steps).map_err(|_| other(format!("it took {steps} steps")))?;
        (self.weight, self.means) = (weight, means);
        Ok(())
    }
}

/// The matrix in a head's state, for the vectors of the encoder with this fingerprint.
///
/// # Errors
/// [`StepError::State`] if the state is that of another model.
#[expect(clippy::cast_possible_truncation, reason = "vectors have 32 bits")]
pub fn head_of(state: &[Tensor], base: &str) -> Result<HeadFile, StepError> {
    let wrong = || StepError::State { what: "it has no square `linear.weight`".to_owned() };
    let tensor = state.iter().find(|tensor| tensor.name == "linear.weight").ok_or_else(wrong)?;
    let (Numbers::F64(numbers), &[rows, columns]) = (&tensor.numbers, &tensor.dims[..]) else {
        return Err(wrong());
    };
    let numbers = numbers.iter().map(|x| *x as f32).collect();
    let weight = Array2::from_shape_vec((rows, columns), numbers).map_err(|_| wrong())?;
    HeadFile::new(weight, base).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dense_plugin::toy::ToyEncoder;
    use dense_plugin::{Dim, LanguageTag};

    fn head(options: LinearOptions) -> LinearHead {
        let vectors = CachedVectors::new(Arc::new(ToyEncoder::new(Dim::new(8).unwrap())));
        LinearHead::new(Arc::new(Mutex::new(vectors)), options)
    }

    /// A batch in one language, with an English wording for two of three passages.
    fn batch(tag: &LanguageTag) -> Batch<'_> {
        let text = |body| BatchText { body, language: tag };
        Batch {
            number: 0,
            kind: BatchKind::Mono(tag.clone()),
            queries: ["one thing", "another", "a third"].map(text).to_vec(),
            passages: ["moja", "nyingine kabisa", "ya tatu", "si hii"].map(text).to_vec(),
            allowed: [true, true, true, true, true, true, false, true, true, true, true, true]
                .to_vec(),
            english: vec![Some(text("the first")), None, Some(text("the third"))],
            focus: vec![false; 3],
        }
    }

    #[test]
    fn the_gradient_by_the_matrix_is_what_differences_say() {
        let tag: LanguageTag = "sw".parse().unwrap();
        let options = LinearOptions { english: 0.7, keep: 0.3, ..LinearOptions::default() };
        let mut head = head(options);
        for step in 0..5 {
            head.step(&batch(&tag), 0.02 + 0.001 * f64::from(step)).unwrap();
        }
        let (_, gradient) = head.loss(&batch(&tag)).unwrap();
        let trained = head.weight.clone();
        for (place, &slope) in gradient.indexed_iter() {
            let mut moved = |by: f64| {
                head.weight.assign(&trained);
                head.weight[place] += by;
                head.loss(&batch(&tag)).unwrap().0
            };
            let found = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!(
                (found - slope).abs() < 1e-5 * (1.0 + slope.abs()),
                "{place:?}: {found} {slope}"
            );
        }
    }

    #[test]
    fn untrained_it_is_the_encoder_and_training_lowers_the_loss() {
        let tag: LanguageTag = "sw".parse().unwrap();
        let mut head = head(LinearOptions::default());
        let texts = ["one", "two"].map(Text::new);
        let (own, frozen) =
            (head.embed(Role::Query, &texts).unwrap(), head.frozen(Role::Query, &texts).unwrap());
        assert!(own.iter().zip(&frozen).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
        let first = head.step(&batch(&tag), 0.01).unwrap().loss;
        let losses: Vec<f64> =
            (0..30).map(|_| head.step(&batch(&tag), 0.01).unwrap().loss).collect();
        assert!(losses[29] < first / 2.0, "{first} {losses:?}");
        let file = head_of(&head.state().unwrap(), "toy").unwrap();
        let file = HeadFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "they came from 32 bits")]
        let frozen = head.frozen(Role::Query, &texts).unwrap().mapv(|x| x as f32);
        let (own, applied) =
            (head.embed(Role::Query, &texts).unwrap(), file.applied(&frozen.view()).unwrap());
        assert!(own.iter().zip(&applied).all(|(a, b)| (a - b).abs() < 1e-5), "{own} {applied}");
    }

    #[test]
    fn a_state_of_another_model_is_refused() {
        let mut head = head(LinearOptions::default());
        let state = head.state().unwrap();
        head.restore(3, &state).unwrap();
        assert!(head.restore(3, &state[1..]).is_err());
        let mut narrow = state.clone();
        narrow[0].numbers = Numbers::F32(vec![0.0; 64]);
        assert!(head.restore(3, &narrow).is_err());
        let mut small = state;
        small[0].dims = vec![4, 16];
        assert!(head.restore(3, &small).is_err());
    }
}
